//! `iothub trace`: the last packets of a client, packets as they go by, or a file of them for Wireshark.

mod pcap;
mod private_file;

use std::{
    io::{self, BufRead as _, BufWriter, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use self::pcap::Capture;
use crate::{
    api::TRACE,
    ctl::{
        Failure, comings, shown,
        target::{TargetArgs, encoded},
    },
    output,
    remote::UNREACHABLE,
    text,
};

/// Look at packets: the last ones of a client, or those that go by.
///
/// Contents are not shown; a file for Wireshark holds them. CONNECT and AUTH are never among them, because they hold passwords. Exit codes: 0 done,
/// 1 there is no such client, 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The client id
    #[arg(value_name = "CLIENT", required_unless_present_any = ["follow", "pcap", "topic", "address"])]
    client: Option<String>,
    /// The last packets that the broker remembers of the client (session.recorded_packets), also of one whose session has ended lately;
    /// this is what it does of a client without --follow, --pcap and --address
    #[arg(long, requires = "client", conflicts_with_all = ["follow", "pcap", "address"])]
    last: bool,
    /// Packets as they go by, until you press Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Messages whose topic matches this filter, subscriptions that concern it, and no other packets: of a client those that are
    /// remembered, or with --follow, and of all clients, as they go by
    #[arg(short, long, value_name = "FILTER")]
    topic: Option<String>,
    /// Clients of this IP address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Write packets as they go by to this file, in the format pcap; - is standard output
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// End after so many packets; of those that are remembered show the last so many
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
            let told = failure.tell("iothub trace");
            // That nobody is known by this name is an answer; whatever else went wrong, there is none.
            if matches!(failure, Failure::Absent(_)) { told } else { ExitCode::from(UNREACHABLE) }
        }
    }
}

fn last(args: &TraceArgs) -> Result<(), Failure> {
    let client = args.client.as_deref().unwrap_or_default();
    let named = json!({ "client_id": client, "topic": args.topic });
    let target = args.broker.open()?;
    let mut answer = target.ask("POST", "/v1/client/packets", Some(named))?;
    let is_empty = answer["packets"].as_array().is_none_or(Vec::is_empty);
    args.count.into_iter().for_each(|count| keep_last(&mut answer, count));
    let mut text = lines_of(&answer, args.json);
    if !args.json {
        comings::lines(&answer, &target).iter().for_each(|(_, line)| text += &format!("{line}\n"));
    }
    if is_empty && !args.json {
        text += match args.topic {
            Some(_) => "none of the packets that are remembered is about a topic that matches\n",
            None => {
                "no packet is remembered: none has gone by since it came (CONNECT is never recorded), or session.recorded_packets is 0\n"
            }
        };
    }
    let printed = if args.json { output::print_json(&text) } else { output::print(&text) };
    printed.map_err(Failure::Unreachable)
}

/// The last ones, wherever they belong.
fn keep_last(answer: &mut Value, count: u64) {
    let Some(packets) = answer["packets"].as_array_mut() else { return };
    let left_out = packets.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
    packets.drain(..left_out);
    if let Some(of_ended) = answer["ended"]["packets"].as_u64() {
        answer["ended"]["packets"] = json!(of_ended.saturating_sub(left_out as u64));
    }
}

/// Those of a session that has ended, how it ended, and those of the one that lives.
fn lines_of(answer: &Value, is_json: bool) -> String {
    let packets = answer["packets"].as_array().map_or(&[][..], Vec::as_slice);
    let of_ended = answer["ended"]["packets"].as_u64().unwrap_or(0) as usize;
    let line = |packet: &Value| match is_json {
        true => format!("{packet}\n"),
        false => format!("{}  {}\n", moment_of(packet), told(packet)),
    };
    let lines = |packets: &[Value]| packets.iter().map(line).collect::<String>();
    let (of_ended, of_living) = packets.split_at(of_ended.min(packets.len()));
    let end = if is_json { String::new() } else { end_of(&answer["ended"]) };
    lines(of_ended) + &end + &lines(of_living)
}

/// What became of the session before, in a line. Empty: there was none.
fn end_of(ended: &Value) -> String {
    if ended.is_null() {
        return String::new();
    }
    let left = &ended["left"];
    let how = left.as_object().map_or(String::new(), |_| {
        let user =
            left["user"].as_str().map_or(String::new(), |_| format!(" as user {}", shown(&left["user"])));
        let left_at = text::moment(left["at"].as_f64().unwrap_or_default());
        let (listener, why) = (shown(&left["listener"]), shown(&left["why"]));
        format!("; the client was here{user} by {listener} and left at {left_at}: {why}")
    });
    format!("{}  the session ended: {}{how}\n", moment_of(ended), shown(&ended["why"]))
}

/// When that was, and how long ago.
fn moment_of(row: &Value) -> String {
    let (at, ago_s) = (row["at"].as_f64(), row["ago_s"].as_f64());
    format!("{} {:>11.3} s ago", text::fine_moment(at.unwrap_or_default()), ago_s.unwrap_or_default())
}

/// False: somebody has read enough.
fn taken(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Unreachable(format!("it cannot be written: {error}"))),
    }
}

fn follow(args: &TraceArgs) -> Result<(), Failure> {
    let target = args.broker.open()?;
    let mut lines = target.follow(&args.path())?;
    if !args.follow && !args.json {
        // Whoever has not asked for it may wait for something else.
        output::complain("iothub trace", "packets as they go by from now on, until you press Ctrl-C");
    }
    let mut capture = args.pcap.as_deref().map(Sink::open).transpose().map_err(Failure::Unreachable)?;
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
            let why = format!("{dropped} packets went by too fast, and are not here");
            output::complain("iothub trace", &why);
            continue;
        }
        if let Some(why) = row["ended"].as_str() {
            return Err(ended(why));
        }
        count += 1;
        let is_read = match &mut capture {
            Some(capture) => taken(capture.take(&row))?,
            None if args.json => output::print_json_more(&line).map_err(Failure::Unreachable)?,
            None => {
                let client = shown(&row["client_id"]);
                let at = row["at"].as_f64().unwrap_or_default();
                let told = format!("{} {client:<20} {}\n", text::clock(at), told(&row));
                output::print_more(&told).map_err(Failure::Unreachable)?
            }
        };
        if !is_read {
            return Ok(());
        }
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
    fn open(path: &Path) -> Result<Sink, String> {
        let failed = |error: io::Error| format!("{} cannot be written: {error}", path.display());
        let mut out: Box<dyn io::Write> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => Box::new(BufWriter::new(private_file::open(path)?)),
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
        self.follow || self.pcap.is_some() || self.address.is_some() || self.client.is_none()
    }

    fn path(&self) -> String {
        let mut parameters = vec![format!("bytes={}", self.pcap.is_some())];
        parameters.extend(self.client.as_deref().map(|client| format!("client_id={}", encoded(client))));
        parameters.extend(self.topic.as_deref().map(|topic| format!("topic={}", encoded(topic))));
        parameters.extend(self.address.map(|address| format!("address={}", encoded(&address.to_string()))));
        format!("{TRACE}?{}", parameters.join("&"))
    }
}

/// A packet in one line: direction, kind, bytes, packet id, latency, flags or reason, whether it never went out, topic.
fn told(packet: &Value) -> String {
    let arrow = if packet["direction"] == "received" { "->" } else { "<-" };
    let kind = packet["kind"].as_str().unwrap_or_default();
    let mut text = format!("{arrow} {kind:<11} {:>7} B", packet["bytes"].as_u64().unwrap_or_default());
    text += &packet["packet_id"].as_u64().map_or("        ".to_owned(), |id| format!("  #{id:<5}"));
    text += &packet["latency_s"].as_f64().map_or(" ".repeat(LATENCY_LETTERS), latency);
    if let Some(qos) = packet["qos"].as_u64() {
        text += &format!("  q{qos}");
        text += if packet["dup"] == true { " dup" } else { "" };
        text += if packet["retain"] == true { " retain" } else { "" };
    }
    text += &reason_of(packet).map_or(String::new(), |reason| format!("  {reason}"));
    text += if packet["unsent"] == true { "  never sent" } else { "" };
    text += &packet["topic"].as_str().map_or(String::new(), |_| format!("  {}", shown(&packet["topic"])));
    text += &packet["filters"].as_u64().map_or(String::new(), |count| filters_of(packet, count));
    text.trim_end().to_owned()
}

/// Of an acknowledgement.
pub fn reason_of(packet: &Value) -> Option<String> {
    match (packet["reason"].as_u64(), packet["unsaid_reason"].as_u64()) {
        (_, Some(unsaid)) => Some(format!(
            "without a reason: the message was refused (0x{unsaid:02x}), which only 5.0 can say"
        )),
        (Some(reason), None) => Some(format!("0x{reason:02x}")),
        (None, None) => None,
    }
}

fn filters_of(packet: &Value, count: u64) -> String {
    let filter = shown(&packet["filter"]);
    match count {
        0 | 1 => format!("  {filter}"),
        2..FILTERS_COUNTED => format!("  {filter} and {} more", count - 1),
        _ => format!("  {filter} and {} more at least", count - 1),
    }
}

/// The broker counts no further.
const FILTERS_COUNTED: u64 = 255;

/// Of a packet with its acknowledgement.
fn latency(latency_s: f64) -> String {
    let text = match latency_s {
        0.0..10.0 => format!("{:.3} ms", latency_s * 1000.0),
        _ => format!("{latency_s:.3} s"),
    };
    format!("{text:>LATENCY_LETTERS$}")
}

/// With two before it.
const LATENCY_LETTERS: usize = 13;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TraceArgs,
    }

    #[test]
    fn of_a_client_the_last_packets_are_shown_unless_others_are_asked_for() {
        for (line, goes_on) in [
            ("pump", false),
            ("pump -t a/#", false),
            ("pump --last -t a/#", false),
            ("pump -f -t a/#", true),
            ("pump --address ::1", true),
            ("pump --pcap -", true),
            ("-t a/#", true),
            ("--address ::1", true),
        ] {
            let line_parsed = Line::parse_from(["trace"].into_iter().chain(line.split(' ')));
            assert_eq!(line_parsed.args.goes_on(), goes_on, "{line}");
        }
    }

    #[test]
    fn the_end_of_a_session_stands_between_its_packets_and_those_of_the_next() {
        let packet = |kind: &str| json!({ "direction": "received", "kind": kind, "bytes": 2, "at": 0.0, "ago_s": 9.0 });
        let left = json!({ "at": 0.0, "ago_s": 8.0, "why": "it is gone", "user": "ada", "listener": "tcp" });
        let ended = json!({ "at": 0.0, "ago_s": 7.0, "why": "so", "left": left, "packets": 1 });
        let mut answer = json!({ "packets": [packet("SUBSCRIBE"), packet("PUBLISH")], "ended": ended });
        let text = lines_of(&answer, false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 3 && lines[0].contains("SUBSCRIBE") && lines[2].contains("PUBLISH"), "{text}");
        let end = "7.000 s ago  the session ended: so; the client was here as user ada by tcp and left at 1970-01-01T00:00:00Z: it is gone";
        assert!(lines[1].ends_with(end), "{text}");
        assert_eq!(lines_of(&answer, true).lines().count(), 2, "each line is a packet");
        let mut last = answer.clone();
        keep_last(&mut last, 1);
        let text = lines_of(&last, false);
        assert!(text.lines().count() == 2 && !text.contains("SUBSCRIBE"), "{text}");
        keep_last(&mut last, 9);
        assert_eq!(lines_of(&last, true).lines().count(), 1);
        answer["ended"] = Value::Null;
        assert_eq!(lines_of(&answer, false).lines().count(), 2);
    }

    #[test]
    fn a_packet_is_one_line() {
        let packet = json!({ "direction": "sent", "kind": "PUBLISH", "bytes": 12, "packet_id": 7, "topic": "a/b",
            "qos": 1, "dup": true, "retain": false });
        assert_eq!(told(&packet), format!("<- PUBLISH          12 B  #7    {:13}  q1 dup  a/b", ""));
        let unsent = json!({ "direction": "sent", "kind": "PUBLISH", "bytes": 12, "topic": "a/b", "qos": 0, "unsent": true });
        assert!(told(&unsent).ends_with("  q0  never sent  a/b"), "{unsent}");
        let puback = json!({ "direction": "received", "kind": "PUBACK", "bytes": 4, "packet_id": 7,
                "latency_s": 0.012345, "reason": 0x87 });
        assert_eq!(told(&puback), "-> PUBACK            4 B  #7        12.345 ms  0x87");
        let denied = json!({ "direction": "sent", "kind": "PUBACK", "bytes": 4, "packet_id": 7, "reason": 0, "unsaid_reason": 0x87 });
        let said = "without a reason: the message was refused (0x87), which only 5.0 can say";
        assert!(told(&denied).ends_with(said) && !told(&denied).contains("0x00"), "{}", told(&denied));
        assert_eq!(latency(61.5), "     61.500 s");
        let mut subscribe = json!({ "direction": "received", "kind": "SUBSCRIBE", "bytes": 9, "packet_id": 1, "filter": "a/#", "filters": 3 });
        let begin = format!("-> SUBSCRIBE         9 B  #1    {:13}", "");
        assert_eq!(told(&subscribe), format!("{begin}  a/# and 2 more"));
        subscribe["filters"] = json!(1);
        assert_eq!(told(&subscribe), format!("{begin}  a/#"));
        subscribe["filters"] = json!(255);
        assert!(told(&subscribe).ends_with("a/# and 254 more at least"));
        assert_eq!(text::clock(86_400.0 * 3.0 + 3661.5), "01:01:01.500");
    }
}
