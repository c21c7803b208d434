//! `iothub top`: a broker that runs, live on the whole screen of a terminal.
//!
//! One thread asks (`source.rs`), this one shows and takes keys; what is shown is worked out in `board.rs` and drawn in `draw.rs`.

pub mod board;
mod draw;
mod source;

use std::{
    io::{self, IsTerminal, Write as _},
    process::ExitCode,
    sync::mpsc::{Receiver, TryRecvError},
    time::{Duration, Instant},
};

use clap::Args;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use self::{
    board::{Board, Order},
    source::Answer,
};
use crate::{
    ctl::target::TargetArgs,
    remote::{REFUSED, UNREACHABLE},
};

/// Show what a broker does, live on the whole screen.
///
/// Of all connected clients as many are shown as answers tell of within SECONDS, with the busiest; where that is a part, the first line
/// says so. Keys: q ends it, s sorts clients by something else, / looks for some of them and Esc for all again, arrows and PgUp/PgDn move, space
/// stands still.
/// Exit codes: 0 ended by a key, 1 this is no terminal, 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Ask this often
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u64).range(1..=60))]
    every: u64,
    #[command(flatten)]
    target: TargetArgs,
}

pub fn run(args: &TopArgs) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return fail(
            "top needs a terminal of its own, to draw on and to take keys from: `iothub ctl` is for programs",
            REFUSED,
        );
    }
    // The first answer comes before the screen is taken: why there is none is told where it can be read.
    let target = match args.target.open() {
        Ok(target) => target,
        Err(failure) => return fail(&failure.sentence(), UNREACHABLE),
    };
    let every = Duration::from_secs(args.every);
    let first = match source::ask(&target, every) {
        Ok(sample) => sample,
        Err(why) => return fail(&why, UNREACHABLE),
    };
    let mut screen = Screen::new(Board::new(first), every);
    source::follow(&target, every, |answers| match on_terminal(&mut screen, answers) {
        Ok(()) => 0,
        Err(error) => {
            fail(&format!("the terminal cannot be used: {error}"), REFUSED);
            REFUSED
        }
    })
}

/// The terminal is as it was afterwards, whatever happens.
fn on_terminal(screen: &mut Screen, answers: &Receiver<Answer>) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let ended = screen.live(&mut terminal, answers);
    ratatui::try_restore()?;
    ended
}

fn fail(sentence: &str, code: u8) -> ExitCode {
    // A standard error that fails has nobody who could be told of it.
    let _ = writeln!(io::stderr(), "iothub top: {sentence}");
    ExitCode::from(code)
}

/// What is on the screen, and what keys have made of it.
struct Screen {
    board: Board,
    /// Why the last answer did not come.
    trouble: Option<String>,
    /// When the last one came, and how long until the next is missed.
    heard_at: Instant,
    patience: Duration,
    is_still: bool,
    is_typing: bool,
    top_row: usize,
}

impl Screen {
    fn new(board: Board, every: Duration) -> Screen {
        Screen {
            board,
            trouble: None,
            heard_at: Instant::now(),
            patience: every * 2 + ANSWER_USUAL,
            is_still: false,
            is_typing: false,
            top_row: 0,
        }
    }

    /// Until a key ends it.
    fn live(&mut self, terminal: &mut DefaultTerminal, answers: &Receiver<Answer>) -> io::Result<()> {
        loop {
            terminal.draw(|frame| draw::draw(frame, &self.view(Instant::now())))?;
            if event::poll(KEY_PAUSE)?
                && let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && self.on_key(key)
            {
                return Ok(());
            }
            loop {
                match answers.try_recv() {
                    Ok(answer) => self.take(answer),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
        }
    }

    fn view(&self, now: Instant) -> draw::View<'_> {
        let silence = now.saturating_duration_since(self.heard_at);
        let is_missed = self.trouble.is_some() || silence > self.patience;
        draw::View {
            board: &self.board,
            trouble: self.trouble.as_deref(),
            silence: is_missed.then_some(silence),
            is_still: self.is_still,
            is_typing: self.is_typing,
            top_row: self.top_row,
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Ok(sample) => {
                (self.trouble, self.heard_at) = (None, Instant::now());
                if !self.is_still {
                    self.board.add(sample);
                }
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    /// True: this key ends it.
    fn on_key(&mut self, key: KeyEvent) -> bool {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return true;
        }
        if self.is_typing {
            self.type_key(key.code);
            return false;
        }
        match key.code {
            KeyCode::Esc if !self.board.search.is_empty() => self.board.search.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('s') => self.board.order = self.board.order.next(),
            KeyCode::Char('c') => self.board.order = Order::ClientId,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char(' ') => self.is_still = !self.is_still,
            KeyCode::Down | KeyCode::Char('j') => self.top_row += 1,
            KeyCode::Up | KeyCode::Char('k') => self.top_row = self.top_row.saturating_sub(1),
            KeyCode::PageDown => self.top_row += PAGE_ROWS,
            KeyCode::PageUp => self.top_row = self.top_row.saturating_sub(PAGE_ROWS),
            KeyCode::Home => self.top_row = 0,
            _ => {}
        }
        self.top_row = self.top_row.min(self.board.clients().len().saturating_sub(1));
        false
    }

    fn type_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.board.search.clear();
            }
            KeyCode::Backspace => drop(self.board.search.pop()),
            KeyCode::Char(letter) => self.board.search.push(letter),
            _ => {}
        }
        self.top_row = 0;
    }
}

/// Between two looks at the keys and the answers.
const KEY_PAUSE: Duration = Duration::from_millis(100);
/// What an answer of a broker that is busy may take.
const ANSWER_USUAL: Duration = Duration::from_secs(1);
const PAGE_ROWS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(clients: &[(&str, u64)]) -> Screen {
        Screen::new(Board::new(board::tests::sample(0, clients)), Duration::from_secs(2))
    }

    #[test]
    fn a_broker_that_says_nothing_is_missed_after_two_answers_and_whatever_fails_at_once() {
        let mut screen = screen(&[("pump", 0)]);
        let after = |screen: &Screen, seconds| {
            screen
                .view(screen.heard_at + Duration::from_secs(seconds))
                .silence
                .map(|silence| silence.as_secs())
        };
        assert_eq!((after(&screen, 5), after(&screen, 6)), (None, Some(6)));
        screen.take(Err("gone".to_owned()));
        assert_eq!(after(&screen, 1), Some(1));
        screen.take(Ok(board::tests::sample(2, &[("pump", 1)])));
        assert_eq!(after(&screen, 1), None);
    }

    #[test]
    fn keys_sort_search_and_end() {
        let mut screen = screen(&[("pump", 0), ("fan", 0)]);
        let press = |screen: &mut Screen, code| screen.on_key(KeyEvent::from(code));
        assert!(!press(&mut screen, KeyCode::Char('c')));
        assert_eq!(screen.board.order, Order::ClientId);
        for code in
            [KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Backspace, KeyCode::Char('p'), KeyCode::Enter]
        {
            assert!(!press(&mut screen, code), "{code:?}");
        }
        assert_eq!((screen.board.search.as_str(), screen.board.clients().len()), ("p", 1));
        press(&mut screen, KeyCode::PageDown);
        assert_eq!(screen.top_row, 0);
        assert!(!press(&mut screen, KeyCode::Esc), "what is looked for is forgotten first");
        assert_eq!((screen.board.search.as_str(), screen.board.clients().len()), ("", 2));
        assert!(press(&mut screen, KeyCode::Esc));
        assert!(press(&mut screen, KeyCode::Char('q')));
        assert!(screen.on_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn who_stands_still_takes_no_further_numbers() {
        let mut screen = screen(&[("pump", 0)]);
        screen.on_key(KeyEvent::from(KeyCode::Char(' ')));
        screen.take(Ok(board::tests::sample(2, &[("pump", 10), ("fan", 0)])));
        assert_eq!(screen.board.clients().len(), 1);
        screen.take(Err("gone".to_owned()));
        assert_eq!(screen.trouble.as_deref(), Some("gone"));
    }
}
