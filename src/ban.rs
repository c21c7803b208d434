//! `iothub ban`: who may not come in, ordered while the broker runs.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::BANS,
    bans::BanText,
    config::moment,
    ctl::{Failure, NOBODY_BANNED, all_rows, table_of_bans, target::TargetArgs},
    output,
    remote::REFUSED,
    text::visible,
};

/// Ban clients, users and addresses, lift bans and list them.
///
/// A ban counts at once: who is connected is cut off. With a data directory it outlives the broker. What the configuration bans
/// ([[ban]]) is listed, too, and lifted there. Exit codes: 0 done, 1 refused, 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct BanArgs {
    #[command(subcommand)]
    command: BanCommand,
}

#[derive(Debug, Subcommand)]
enum BanCommand {
    /// Ban somebody, for ever or for a time
    Add(AddArgs),
    /// Lift a ban that was ordered
    Remove(RemoveArgs),
    /// List the bans that hold
    List(ListArgs),
}

/// Whom, and for how long.
#[derive(Debug, Args)]
pub struct BanningArgs {
    #[command(flatten)]
    whom: WhomArgs,
    /// For so long: 90s, 15m, 12h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span, conflicts_with = "until")]
    span: Option<Duration>,
    /// Until this moment, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
}

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    banning: BanningArgs,
    #[command(flatten)]
    broker: TargetArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    #[command(flatten)]
    whom: WhomArgs,
    #[command(flatten)]
    broker: TargetArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print a line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: TargetArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhomArgs {
    /// The client with this id
    #[arg(short = 'i', long, value_name = "ID")]
    client_id: Option<String>,
    /// Who has proved to be this user
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// An address, or a network such as 192.0.2.0/24
    #[arg(short, long, value_name = "ADDRESS")]
    address: Option<String>,
}

impl BanningArgs {
    pub fn text(&self) -> BanText {
        let span_end = |span: Duration| moment::show(unix_s(SystemTime::now() + span));
        self.whom.text(self.until.clone().or_else(|| self.span.map(span_end)))
    }
}

impl WhomArgs {
    pub fn text(&self, until: Option<String>) -> BanText {
        let WhomArgs { client_id, user, address } = self;
        BanText { client_id: client_id.clone(), user: user.clone(), address: address.clone(), until }
    }
}

pub fn run(args: &BanArgs) -> ExitCode {
    let (method, broker, ban) = match &args.command {
        BanCommand::Add(AddArgs { banning, broker }) => ("POST", broker, banning.text()),
        BanCommand::Remove(RemoveArgs { whom, broker }) => ("DELETE", broker, whom.text(None)),
        BanCommand::List(ListArgs { json, broker }) => return list(*json, broker),
    };
    // What is wrong in itself need not be asked.
    if let Err(error) = ban.ban() {
        output::complain("iothub ban", &error);
        return ExitCode::from(REFUSED);
    }
    let printed = broker.open().and_then(|target| {
        let answer = target.ask(method, BANS, Some(json!(ban)))?;
        Ok(output::print(&if method == "DELETE" { lifted(&ban, &answer) } else { ordered(&ban) }))
    });
    told(printed)
}

fn list(is_json: bool, broker: &TargetArgs) -> ExitCode {
    let printed = broker.open().and_then(|target| {
        let bans = all_rows(&target, BANS, "bans")?;
        if is_json {
            return Ok(output::print_json(&bans.iter().map(|ban| format!("{ban}\n")).collect::<String>()));
        }
        if bans.is_empty() {
            output::complain("iothub ban", NOBODY_BANNED);
            return Ok(Ok(()));
        }
        Ok(output::print(&table_of_bans(&bans).text()))
    });
    told(printed)
}

fn told(printed: Result<Result<(), String>, Failure>) -> ExitCode {
    match printed.and_then(|printed| printed.map_err(Failure::Unreachable)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell("iothub ban"),
    }
}

/// That it counts.
pub fn ordered(ban: &BanText) -> String {
    let whom = whom_of(ban);
    match &ban.until {
        Some(until) => format!("{whom} is banned until {until}\n"),
        None => format!("{whom} is banned for ever\n"),
    }
}

/// That it is lifted, and by what the same is banned still.
pub fn lifted(ban: &BanText, answer: &Value) -> String {
    let whom = whom_of(ban);
    let still = answer["still"].as_array().map(Vec::as_slice).unwrap_or_default();
    if still.is_empty() {
        return format!("the ban of {whom} is lifted\n");
    }
    let by: Vec<String> = still.iter().map(|other| banned_by(ban, other)).collect();
    format!("the ban of {whom} is lifted, and it is banned still: by {}\n", by.join(", "))
}

/// A ban that holds where this one is lifted.
fn banned_by(lifted: &BanText, other: &Value) -> String {
    let Ok(other) = BanText::deserialize(other) else { return other.to_string() };
    let until = other.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    // Of the same, only that of the configuration is left.
    match whom_of(lifted) == whom_of(&other) {
        true => format!("the configuration{until} ([[ban]]: take it out there, and reload)"),
        false => format!("the ban of {}{until}", whom_of(&other)),
    }
}

fn whom_of(ban: &BanText) -> String {
    let named = [("client", &ban.client_id), ("user", &ban.user), ("address", &ban.address)];
    let whom =
        named.into_iter().find_map(|(kind, name)| Some(format!("{kind} {}", visible(name.as_deref()?))));
    whom.unwrap_or_default()
}

fn unix_s(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn parse_span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 90s, 15m, 12h or 7d".to_owned();
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(expected)?;
    let seconds = match &text[unit_at..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let count: u64 = text[..unit_at].parse().map_err(|_| expected())?;
    let span = count.checked_mul(seconds).filter(|span| (1..=SPAN_S_MAX).contains(span));
    span.map(Duration::from_secs).ok_or_else(|| "expected a time from 1s to 36500d".to_owned())
}

/// A hundred years: longer is for ever.
const SPAN_S_MAX: u64 = 36_500 * 86_400;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct AddLine {
        #[command(flatten)]
        args: AddArgs,
    }

    #[test]
    fn what_was_done_is_told() {
        let whom = |whom: &[&str]| AddLine::parse_from([&["add"], whom].concat()).args.banning.whom;
        let client = whom(&["-i", "pump\u{202e}"]);
        assert_eq!(ordered(&client.text(None)), "client pump\\u{202e} is banned for ever\n");
        let until = Some("2030-01-31T12:00:00Z".to_owned());
        let user = whom(&["-u", "ada"]).text(until);
        assert_eq!(ordered(&user), "user ada is banned until 2030-01-31T12:00:00Z\n");
    }

    #[test]
    fn who_is_banned_still_is_told_so() {
        let address = BanText { address: Some("192.0.2.0/24".to_owned()), ..BanText::default() };
        let configured = json!({ "address": "192.0.2.0/24", "until": "2030-01-31T12:00:00Z" });
        let around = json!({ "address": "192.0.0.0/16" });
        let is_configured =
            "the configuration until 2030-01-31T12:00:00Z ([[ban]]: take it out there, and reload)";
        let is_around = "the ban of address 192.0.0.0/16";
        for (still, by) in [
            (vec![], String::new()),
            (vec![&configured], format!(", and it is banned still: by {is_configured}")),
            (
                vec![&configured, &around],
                format!(", and it is banned still: by {is_configured}, {is_around}"),
            ),
        ] {
            let said = lifted(&address, &json!({ "still": still }));
            assert_eq!(said, format!("the ban of address 192.0.2.0/24 is lifted{by}\n"));
        }
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(parse_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_span("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for wrong in ["", "7", "d", "0s", "-1h", "1w", "99999999999999999999d", "40000d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
