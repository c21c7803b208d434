//! The thread that writes the lines: what clients do into one file, what is done to the broker into another, which no client can fill.

use std::{
    io, mem,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, Sender, after, never, select};
use runtime::{LeftOut, Verdict};

use super::{
    file::AuditFile,
    line::Line,
    lost::Lost,
    thinned::{self, Sort, Thinned},
};
use crate::happening::Happening;

/// A line about a client, on its way.
#[derive(Debug)]
pub struct Told {
    pub line: Vec<u8>,
    /// Nobody could say yet whether it is to be written.
    pub question: Option<Box<Question>>,
}

/// What decides whether a line is written.
#[derive(Debug)]
pub struct Question {
    pub address: Option<IpAddr>,
    pub sort: Sort,
    pub why: Box<str>,
}

/// What the thread is given that is not a line of clients.
#[derive(Debug)]
pub enum Order {
    /// A line about what was done to the broker.
    Act(Vec<u8>),
    /// The files may have been moved: the next lines go to those of their names.
    Reopen,
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

pub struct Writer {
    pub clients: Journal,
    pub acts: Journal,
    pub thinned: Arc<Thinned>,
}

/// One of the files, with what is still to be written into it.
pub struct Journal {
    file: AuditFile,
    /// Lines that found no room, here or on their way.
    lost: Arc<Lost>,
    batch: Vec<u8>,
    /// In the batch.
    lines: u64,
    /// The log knows that the file cannot be written.
    has_failed: bool,
}

impl Writer {
    pub fn run(mut self, lines: &Receiver<Told>, orders: &Receiver<Order>) {
        loop {
            // What is left out wakes nobody: this thread stays awake until it has told of it.
            let look = if self.thinned.is_empty() { never() } else { after(thinned::PERIOD) };
            select! {
                recv(orders) -> order => match order {
                    Ok(order) => self.carry_out(order, lines),
                    Err(_) => return self.finish(lines, orders),
                },
                recv(lines) -> line => match line {
                    Ok(told) => self.take(&told),
                    Err(_) => return self.finish(lines, orders),
                },
                recv(look) -> _ => {}
            }
            for order in orders.try_iter() {
                self.carry_out(order, lines);
            }
            self.take_lines(lines);
            self.tell(false);
        }
    }

    /// Nobody says anything any more.
    fn finish(mut self, lines: &Receiver<Told>, orders: &Receiver<Order>) {
        orders.try_iter().for_each(|order| self.carry_out(order, lines));
        self.take_lines(lines);
        self.tell(true);
    }

    fn carry_out(&mut self, order: Order, lines: &Receiver<Told>) {
        match order {
            Order::Act(line) => self.acts.take(&line),
            Order::Reopen => {
                self.take_lines(lines);
                self.clients.reopen();
                self.acts.reopen();
            }
            Order::Flush(done) => {
                self.take_lines(lines);
                self.tell(true);
                let _ = done.try_send(());
            }
        }
    }

    /// Those that are there; more may come meanwhile.
    fn take_lines(&mut self, lines: &Receiver<Told>) {
        for told in lines.try_iter().take(lines.len()) {
            self.take(&told);
        }
    }

    fn take(&mut self, told: &Told) {
        let is_left_out = told.question.as_deref().is_some_and(|Question { address, sort, why }| {
            self.thinned.judge(*address, *sort, why) != Verdict::Tell
        });
        if !is_left_out {
            self.clients.take(&told.line);
        }
    }

    /// Writes what there is, and what was left out and lost, or all of that.
    fn tell(&mut self, all: bool) {
        for LeftOut { source, cause, count, why } in self.thinned.left_out(all) {
            let mut line = Line::new(cause.kind.word());
            line.maybe("address", thinned::shown(source).as_deref());
            line.maybe("by", cause.by);
            line.maybe("why", Some(&*why).filter(|why| !why.is_empty()));
            line.number("more", count);
            LINES_LEFT_OUT.fetch_add(count, Ordering::Relaxed);
            self.clients.take(&line.finish());
        }
        for LeftOut { cause, count, .. } in self.thinned.acts_left_out(all) {
            let mut line = Line::new(Happening::Administration.word());
            line.text("act", &cause.act);
            line.text("by", &cause.by);
            line.number("more", count);
            LINES_LEFT_OUT.fetch_add(count, Ordering::Relaxed);
            self.acts.take(&line.finish());
        }
        self.clients.write();
        self.acts.write();
    }
}

/// Of both files, since the start, once they are told to be left out.
pub fn lines_left_out() -> u64 {
    LINES_LEFT_OUT.load(Ordering::Relaxed)
}

static LINES_LEFT_OUT: AtomicU64 = AtomicU64::new(0);

impl Journal {
    pub fn new(file: AuditFile, lost: &Arc<Lost>) -> Journal {
        Journal { file, lost: Arc::clone(lost), batch: Vec::new(), lines: 0, has_failed: false }
    }

    fn take(&mut self, line: &[u8]) {
        self.batch.extend_from_slice(line);
        self.lines += 1;
        if self.batch.len() >= BATCH_BYTES {
            self.write();
        }
    }

    /// With how many were lost before.
    pub fn write(&mut self) {
        let lost = self.lost.take_untold();
        if lost > 0 {
            let mut line = Line::new("lost");
            line.number("lines", lost);
            self.batch.extend_from_slice(&line.finish());
        }
        let lines = mem::take(&mut self.lines);
        if self.batch.is_empty() {
            return;
        }
        let written = self.file.write(&self.batch);
        if let Err(short) = &written {
            self.lost.add(lines.saturating_sub(short.lines));
            // The line that tells of them comes last.
            self.lost.tell_again(lost);
        }
        self.batch.clear();
        self.say(written.map_err(|short| short.error));
    }

    fn reopen(&mut self) {
        self.write();
        if let Err(error) = self.file.reopen() {
            let path = self.file.path().display();
            tracing::error!(
                %path,
                "the audit log is not opened anew, and goes on in the file that is open: {error}"
            );
        }
    }

    /// The first failure, and that it is over.
    fn say(&mut self, outcome: io::Result<()>) {
        let path = self.file.path().display();
        match outcome {
            Err(error) if !self.has_failed => {
                tracing::error!(%path, "the audit log cannot be written, and lines are lost: {error}");
                self.has_failed = true;
            }
            Ok(()) if self.has_failed => {
                tracing::info!(%path, "the audit log is written again");
                self.has_failed = false;
            }
            _ => {}
        }
    }
}

const BATCH_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::file;

    #[test]
    fn losses_are_told_in_the_file_and_kept_where_it_cannot_be_written() {
        let folder = file::fresh_folder("losses");
        let path = folder.join("audit");
        let lost = Arc::new(Lost::default());
        lost.add(3);
        let mut journal = Journal::new(AuditFile::open(&path, 1 << 20, 1).expect("a file of ours"), &lost);
        journal.take(b"{\"a\":1}\n");
        journal.write();
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert!(text.starts_with("{\"a\":1}\n") && text.contains("\"event\":\"lost\",\"lines\":3"), "{text}");
        assert_eq!((lost.take_untold(), lost.all()), (0, 3));
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn lines_that_the_file_does_not_take_are_counted_once_however_often_they_are_told() {
        let folder = file::fresh_folder("unwritten");
        let path = folder.join("audit");
        let lost = Arc::new(Lost::default());
        let mut journal = Journal::new(AuditFile::open(&path, 1, 1).expect("a file of ours"), &lost);
        journal.take(b"{\"a\":1}\n");
        journal.write();
        // The file is full, and nothing can take the place of a folder.
        let in_the_way = folder.join("audit.1");
        std::fs::create_dir(&in_the_way).expect("a folder");
        for all in [1, 2] {
            journal.take(b"{\"b\":2}\n");
            journal.write();
            assert_eq!(lost.all(), all);
        }
        std::fs::remove_dir(&in_the_way).expect("ours");
        journal.take(b"{\"c\":3}\n");
        journal.write();
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert!(text.starts_with("{\"c\":3}\n") && text.contains("\"lines\":2"), "{text}");
        assert_eq!((lost.take_untold(), lost.all()), (0, 2));
        std::fs::remove_dir_all(folder).expect("ours");
    }
}
