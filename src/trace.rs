//! `iothub trace`: the last packets of a client, packets as they go by, or a file of them for Wireshark.

mod pcap;

use std::{
    fs::File,
    io::{self, BufRead as _, BufWriter, Write as _},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use self::pcap::Capture;
use crate::{
    api::TRACE,
    ctl::{
        Failure, shown,
        target::{TargetArgs, encoded},
    },
    output,
    remote::UNREACHABLE,
    text,
};

/// Look at packets: the last ones of a client, or those that go by.
///
/// Contents are not shown; a file for Wireshark holds them. CONNECT and AUTH are never among them, because they hold passwords. Exit codes: 0 done,
/// 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The client id
    #[arg(value_name = "CLIENT", required_unless_present_any = ["follow", "pcap"])]
    client: Option<String>,
    /// The last packets that the broker remembers of the client (session.recorded_packets); this is what it does without other flags
    #[arg(long, requires = "client", conflicts_with_all = ["follow", "pcap", "address"])]
    last: bool,
    /// Packets as they go by, until you press Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Messages whose topic matches this filter, and no other packets: as they go by, or with --last those that are remembered
    #[arg(short, long, value_name = "FILTER")]
    topic: Option<String>,
    /// Clients of this IP address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Write packets as they go by to this file, in the format pcap; - is standard output
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// End after so many packets
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print a line of JSON for each packet
    #[arg(long, conflicts_with = "pcap")]
    json: bool,
    #[command(flatten)]
    broker: TargetArgs,
}

pub fn run(args: &TraceArgs) -> ExitCode {
    match if args.goes_on() { follow(args) } else { last(args) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell("iothub trace");
            ExitCode::from(UNREACHABLE)
        }
    }
}

fn last(args: &TraceArgs) -> Result<(), Failure> {
    let client = args.client.as_deref().unwrap_or_default();
    let named = json!({ "client_id": client, "topic": args.topic });
    let answer = args.broker.open()?.ask("POST", "/v1/client/packets", Some(named))?;
    let mut text = String::new();
    for packet in answer["packets"].as_array().into_iter().flatten() {
        text += &match args.json {
            true => format!("{packet}\n"),
            false => {
                let (at, ago_s) = (packet["at"].as_f64(), packet["ago_s"].as_f64());
                let moment = text::moment(at.unwrap_or_default());
                format!("{moment} {:>9.1} s ago  {}\n", ago_s.unwrap_or_default(), told(packet))
            }
        };
    }
    if text.is_empty() {
        text = match args.topic {
            Some(_) => {
                "none of the packets that are remembered is a message whose topic matches\n".to_owned()
            }
            None => "no packet is remembered (session.recorded_packets)\n".to_owned(),
        };
    }
    output::print(&text).map_err(Failure::Unreachable)
}

/// Somebody who has read enough is no error.
fn printed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Unreachable(format!("it cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

fn follow(args: &TraceArgs) -> Result<(), Failure> {
    let target = args.broker.open()?;
    let mut lines = target.follow(&args.path())?;
    let mut capture = args.pcap.as_ref().map(Sink::open).transpose().map_err(Failure::Unreachable)?;
    let (mut line, mut count) = (String::new(), 0);
    while args.count.is_none_or(|most| count < most) {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) => {
                return Err(ended("its log says whether it has ended itself"));
            }
            Ok(_) => {}
            Err(error) => return Err(ended(&error.to_string())),
        }
        let Ok(row) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(dropped) = row["dropped"].as_u64() {
            eprintln!("iothub trace: {dropped} packets went by too fast, and are not here");
            continue;
        }
        if let Some(why) = row["ended"].as_str() {
            return Err(ended(why));
        }
        count += 1;
        let written = match &mut capture {
            Some(capture) => capture.take(&row),
            None if args.json => io::stdout().write_all(line.as_bytes()),
            None => {
                let client = shown(&row["client_id"]);
                let at = row["at"].as_f64().unwrap_or_default();
                io::stdout()
                    .write_all(format!("{} {client:<20} {}\n", text::clock(at), told(&row)).as_bytes())
            }
        };
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return Ok(());
        }
        printed(written)?;
    }
    Ok(())
}

fn ended(why: &str) -> Failure {
    Failure::Unreachable(format!("the broker has ended the trace: {why}"))
}

/// Where a capture goes to. Each packet is there at once, so that Ctrl-C costs none.
struct Sink {
    capture: Capture,
    out: Box<dyn io::Write>,
}

impl Sink {
    fn open(path: &PathBuf) -> Result<Sink, String> {
        let failed = |error: io::Error| format!("{} cannot be written: {error}", path.display());
        let mut out: Box<dyn io::Write> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
        };
        out.write_all(&pcap::HEADER).and_then(|()| out.flush()).map_err(failed)?;
        Ok(Sink { capture: Capture::default(), out })
    }

    fn take(&mut self, row: &Value) -> io::Result<()> {
        self.out.write_all(&self.capture.records(row))?;
        self.out.flush()
    }
}

impl TraceArgs {
    fn goes_on(&self) -> bool {
        let chooses = self.topic.is_some() || self.address.is_some();
        self.follow || self.pcap.is_some() || chooses && !self.last
    }

    fn path(&self) -> String {
        let mut parameters = vec![format!("bytes={}", self.pcap.is_some())];
        parameters.extend(self.client.as_deref().map(|client| format!("client_id={}", encoded(client))));
        parameters.extend(self.topic.as_deref().map(|topic| format!("topic={}", encoded(topic))));
        parameters.extend(self.address.map(|address| format!("address={}", encoded(&address.to_string()))));
        format!("{TRACE}?{}", parameters.join("&"))
    }
}

/// A packet in one line: direction, kind, bytes, packet id, flags or reason, topic.
fn told(packet: &Value) -> String {
    let arrow = if packet["direction"] == "received" { "->" } else { "<-" };
    let kind = packet["kind"].as_str().unwrap_or_default();
    let mut text = format!("{arrow} {kind:<11} {:>7} B", packet["bytes"].as_u64().unwrap_or_default());
    text += &packet["packet_id"].as_u64().map_or("        ".to_owned(), |id| format!("  #{id:<5}"));
    if let Some(qos) = packet["qos"].as_u64() {
        text += &format!("  q{qos}");
        text += if packet["dup"] == true { " dup" } else { "" };
        text += if packet["retain"] == true { " retain" } else { "" };
    }
    if let Some(reason) = packet["reason"].as_u64() {
        text += &format!("  0x{reason:02x}");
    }
    text += &packet["topic"].as_str().map_or(String::new(), |_| format!("  {}", shown(&packet["topic"])));
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_packet_is_one_line() {
        let packet = json!({ "direction": "sent", "kind": "PUBLISH", "bytes": 12, "packet_id": 7, "topic": "a/b",
            "qos": 1, "dup": true, "retain": false });
        assert_eq!(told(&packet), "<- PUBLISH          12 B  #7      q1 dup  a/b");
        let puback =
            json!({ "direction": "received", "kind": "PUBACK", "bytes": 4, "packet_id": 7, "reason": 0x87 });
        assert_eq!(told(&puback), "-> PUBACK            4 B  #7      0x87");
        assert_eq!(text::clock(86_400.0 * 3.0 + 3661.5), "01:01:01.500");
    }
}
