//! `iothub acl`: asks rules of access what a broker would be told, and says which rule it is.

use std::{
    env,
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use access::{Action, Ask, DefaultRule, Explanation, Fallback, Holder, Limit, Rules, Who};
use clap::{Args, Subcommand};

use crate::{
    config::{self, Flags},
    listen,
    numbering::Numbers,
    vocabulary::Vocabulary,
};

/// Ask what rules of access allow.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_help_heading = "Commands")]
pub struct AclArgs {
    #[command(subcommand)]
    command: AclCommand,
}

#[derive(Debug, Subcommand)]
enum AclCommand {
    /// Say whether a client may do something with a topic, and which rule says so
    Check(CheckArgs),
}

/// Say whether a client may do something with a topic, and which rule says so.
///
/// It reads the files of rules and asks no broker. Rules that a client brings, by a token or by what a program says of it, are not
/// among them.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct CheckArgs {
    /// The topic; for `subscribe` the topic filter
    topic: String,
    /// publish, retain, will, subscribe, receive or admin
    #[arg(long, value_parser = action, value_name = "ACTION")]
    action: Action,
    /// The client id
    #[arg(long, value_name = "ID", default_value = "")]
    client: String,
    /// The user name; without one the client is anonymous
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Nobody has proved the user name
    #[arg(long)]
    unproved: bool,
    /// A group that came with the proof of identity; can be repeated
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// A role that came with the proof of identity; can be repeated
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// A name of the client's certificate; can be repeated
    #[arg(long, value_name = "NAME")]
    certificate: Vec<String>,
    /// The client's IP address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The listener, as the configuration writes it
    #[arg(long, value_name = "LISTENER", default_value = "")]
    listener: String,
    /// The QoS of the message
    #[arg(long, value_name = "QOS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// The message has the retain flag
    #[arg(long)]
    retain: bool,
    #[command(flatten)]
    files: Files,
}

/// Where the rules are.
#[derive(Debug, Args)]
struct Files {
    /// An ACL file in mosquitto's format
    #[arg(long, value_name = "FILE")]
    acl: Option<PathBuf>,
    /// A file of rules in IoTHub's own format
    #[arg(long, value_name = "FILE", required_unless_present_any = ["acl", "config"])]
    rules: Option<PathBuf>,
    /// The broker's configuration: its files of rules, its defaults and its listeners
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["acl", "rules", "default"])]
    config: Option<PathBuf>,
    /// What holds where no rule matches and the file says nothing of it: allow or deny
    #[arg(long, value_name = "WORD", default_value = "deny", value_parser = fallback)]
    default: Fallback,
}

/// The rules, and what else of the broker they depend on.
struct Asked {
    rules: Rules,
    listener: String,
    /// Clients may bring rules of their own.
    hears_permits: bool,
    /// Why a broker would not take the files as they are.
    refusals: Vec<String>,
}

pub fn run(args: &AclArgs) -> ExitCode {
    let AclCommand::Check(args) = &args.command;
    match check(args) {
        Ok((is_allowed, report)) => match io::stdout().write_all(report.as_bytes()) {
            // Whoever has closed it knows the answer by the exit code.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                fail(&[format!("cannot write to standard output: {error}")])
            }
            _ if is_allowed => ExitCode::SUCCESS,
            _ => ExitCode::from(DENIED),
        },
        Err(sentences) => fail(&sentences),
    }
}

fn fail(sentences: &[String]) -> ExitCode {
    sentences.iter().for_each(|sentence| say(sentence));
    ExitCode::from(FAILED)
}

fn say(sentence: &str) {
    // A standard error that fails has nobody who could be told of it.
    let _ = writeln!(io::stderr(), "iothub acl check: {sentence}");
}

fn check(args: &CheckArgs) -> Result<(bool, String), Vec<String>> {
    check_topic(args.action, &args.topic).map_err(|sentence| vec![sentence])?;
    let Asked { rules, listener, hears_permits, refusals } = args.files.read(&args.listener)?;
    for refusal in refusals {
        say(&format!("a broker refuses this file: {refusal}"));
    }
    let (groups, roles, names) = (borrowed(&args.group), borrowed(&args.role), borrowed(&args.certificate));
    let holder = rules.holder(&Who {
        client_id: &args.client,
        user: args.user.as_deref(),
        groups: &groups,
        roles: &roles,
        certificate_names: &names,
        address: args.address,
        listener: &listener,
        is_authenticated: !args.unproved && (args.user.is_some() || !names.is_empty()),
        permits: None,
    });
    let ask = Ask { action: args.action, topic: &args.topic, qos: args.qos, retain: args.retain };
    let verdict = holder.check(&ask);
    let mut text = report(&holder.explain(&verdict), args.action, &holder);
    if let Some(shadow) = holder.explain_shadow(&verdict) {
        add_line(&mut text, "shadow", &format!("rules that are tried out say otherwise: {shadow}"));
    }
    for (kind, name) in Vocabulary::of(&rules).unknown(roles.iter().copied(), groups.iter().copied()) {
        add_line(&mut text, "note", &kind.sentence(name));
    }
    if hears_permits {
        add_line(
            &mut text,
            "note",
            "a token, or a program that is asked, may bring rules that are not known here",
        );
    }
    Ok((verdict.is_allowed, text))
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The verdict first, then what it comes from.
fn report(explained: &Explanation<'_>, action: Action, holder: &Holder) -> String {
    let mut text = if explained.is_allowed { "allowed\n" } else { "denied\n" }.to_owned();
    let mut line = |name: &str, value: &str| add_line(&mut text, name, value);
    if let Some(reason) = explained.reason() {
        line("because", &reason);
    }
    if let Some(rule) = explained.place.text {
        line("rule", rule);
    }
    if let Some(location) = explained.place.location() {
        line("file", &location);
    }
    line("layer", explained.place.layer);
    if explained.is_allowed && action == Action::Subscribe && holder.checks_receive() {
        line("note", "each message is checked when it is delivered: ask with --action receive");
    }
    for limit in Limit::ALL.into_iter().filter_map(|limit| holder.limit_place(limit)) {
        line("limit", &limit.to_string());
    }
    text
}

fn add_line(text: &mut String, name: &str, value: &str) {
    // A string takes whatever is written.
    let _ = writeln!(text, "  {name:<8} {value}");
}

impl Files {
    fn read(&self, listener: &str) -> Result<Asked, Vec<String>> {
        if let Some(path) = &self.config {
            return configured(path, listener);
        }
        let text = format!("--default {}", self.default).into();
        let default = DefaultRule { text, layer: "command line".into(), ..self.default.into() };
        let (rules, refusals) = crate::access::ask(self.acl.as_deref(), self.rules.as_deref(), default)?;
        Ok(Asked { rules, listener: listener.to_owned(), hears_permits: false, refusals })
    }
}

/// What a broker with this configuration would ask, at the listener of this name; without one, at the only one that it has.
fn configured(path: &Path, listener: &str) -> Result<Asked, Vec<String>> {
    let loaded = config::load(Some(path), env::vars_os(), &Flags::default())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let listen = listen::resolve(loaded.listeners(), loaded.listens_by_default)
        .map_err(|faults| loaded.sentences(&faults))?;
    let numbers = Numbers::first(listen.entrances);
    let names = numbers.names();
    let found = match listener {
        "" => Some(names.first().filter(|_| names.len() == 1).map_or("", |name| name)),
        wanted => names.iter().find(|name| ***name == *wanted).map(|name| &**name),
    };
    let Some(found) = found else {
        return Err(vec![format!("there is no listener '{listener}': there are {}", names.join(", "))]);
    };
    Ok(Asked {
        rules: crate::access::load(&loaded, &numbers).map_err(|faults| loaded.sentences(&faults))?,
        listener: found.to_owned(),
        hears_permits: loaded.settings.authentication.hears_permits(),
        refusals: Vec::new(),
    })
}

/// Those that a broker with this configuration would ask.
pub fn rules_of(config: &Path) -> Result<Rules, Vec<String>> {
    configured(config, "").map(|asked| asked.rules)
}

fn check_topic(action: Action, topic: &str) -> Result<(), String> {
    let is_valid = match action {
        Action::Subscribe => match client::wire::shared_filter(topic) {
            Ok(None) => client::wire::is_topic_filter(topic),
            shared => shared.is_ok(),
        },
        _ => client::wire::is_topic_name(topic),
    };
    match (is_valid, action) {
        (true, _) => Ok(()),
        (false, Action::Subscribe) => {
            Err(format!("'{topic}' is no topic filter, so nobody can subscribe to it"))
        }
        (false, _) => Err(format!("'{topic}' is no topic name: it has no + and no #, and is not empty")),
    }
}

fn action(word: &str) -> Result<Action, String> {
    Action::of_word(word)
        .ok_or_else(|| format!("invalid action '{word}': publish, retain, will, subscribe, receive or admin"))
}

fn fallback(word: &str) -> Result<Fallback, String> {
    match word {
        "allow" => Ok(Fallback::Allow),
        "deny" => Ok(Fallback::Deny),
        _ => Err(format!("invalid default '{word}': allow or deny")),
    }
}

const DENIED: u8 = 1;
/// The files could not be read, or the question not be understood.
const FAILED: u8 = 2;

const EXIT_CODES: &str = "Exit codes:
  0  allowed
  1  denied
  2  the question could not be answered";
