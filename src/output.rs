//! Standard output and standard error of commands that print something short and end. What comes from clients, or from whoever answers,
//! does not steer a terminal: all of it goes through here.

use std::io::{self, Write as _};

use crate::text;

/// A reader that has gone away has read enough; everybody else has to get it. The error is a sentence.
pub fn print(text: &str) -> Result<(), String> {
    print_more(text).map(drop)
}

/// The same of what goes on. False: nobody reads any more.
pub fn print_more(text: &str) -> Result<bool, String> {
    print_bytes(text::visible_lines(text).as_bytes())
}

/// JSON, which means the same to programs.
pub fn print_json(text: &str) -> Result<(), String> {
    print_json_more(text).map(drop)
}

/// The same of what goes on. False: nobody reads any more.
pub fn print_json_more(text: &str) -> Result<bool, String> {
    print_bytes(text::visible_json(text).as_bytes())
}

/// On standard error, in the name of the command.
pub fn complain(command: &str, sentence: &str) {
    // Who hears nothing has the exit code.
    let _ = writeln!(io::stderr(), "{command}: {}", text::visible_lines(sentence));
}

/// What need not be text, and is asked for as it is.
pub fn print_bytes(bytes: &[u8]) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("nothing can be written to standard output: {error}")),
    }
}
