//! Standard output of commands that print something short and end.

use std::io::{self, Write as _};

/// A reader that has gone away has read enough; everybody else has to get it. The error is a sentence.
pub fn print(text: &str) -> Result<(), String> {
    print_more(text).map(drop)
}

/// The same of what goes on. False: nobody reads any more.
pub fn print_more(text: &str) -> Result<bool, String> {
    print_bytes(text.as_bytes())
}

/// What need not be text.
pub fn print_bytes(bytes: &[u8]) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("nothing can be written to standard output: {error}")),
    }
}
