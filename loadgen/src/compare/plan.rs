//! What is to be compared: the brokers, the runs, and how often; checked before anything is started.

use std::time::Duration;

use clap::CommandFactory;
use clap::parser::ValueSource;
use client::QoS;

use super::words;
use crate::Cli;
use crate::null::Engine;

/// One of those that take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    pub name: String,
    /// With `{port}`, and `{config}` where there is a configuration.
    pub command: Vec<String>,
    /// A relay of this program: it does not do everything that a broker does.
    pub is_null: bool,
    /// What prints the version.
    pub version_command: Option<Vec<String>>,
    /// The text of a configuration file, with `{port}`.
    pub config: Option<String>,
}

/// One scenario with its flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub name: String,
    pub words: Vec<String>,
    pub suits_null: bool,
    /// A scenario that is run first. The broker is then stopped and started again: only one that keeps its data can take part.
    pub before: Option<Vec<String>>,
    /// A guess, until one has been seen.
    pub expected: Duration,
}

impl Contender {
    pub fn new(name: &str, command: &str) -> Result<Contender, String> {
        let name = check_name("a broker", name)?;
        let command = words::split(command).map_err(|error| format!("the command of `{name}`: {error}"))?;
        if command.is_empty() {
            return Err(format!("`{name}` has no command"));
        }
        Ok(Contender { name, command, is_null: false, version_command: None, config: None })
    }

    pub fn null(engine: Engine) -> Result<Contender, String> {
        let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let this = this.to_str().ok_or("the path of this program is not text")?;
        let engine = engine.name();
        let command = [this, "null", "--engine", engine, "--port", PORT].map(str::to_owned).to_vec();
        let name = format!("null {engine}");
        Ok(Contender { name, command, is_null: true, version_command: None, config: None })
    }

    /// Whether the broker can be told where to listen.
    pub fn check(&self) -> Result<(), String> {
        let Contender { name, command, config, .. } = self;
        let says = |what: &str| command.iter().any(|word| word.contains(what));
        let config_says_port = config.as_ref().is_some_and(|config| config.contains(PORT));
        if config.is_none() && says(CONFIG) {
            return Err(format!("`{name}` has {CONFIG} in its command and no configuration in a suite file"));
        }
        if config.is_some() && !says(CONFIG) {
            return Err(format!(
                "`{name}` has a configuration: put {CONFIG} where its file goes in the command"
            ));
        }
        if !says(PORT) && !config_says_port {
            return Err(format!(
                "the command of `{name}` has no {PORT}: put it where the port goes, as in \
                 --broker {name}='{} -p {PORT}'",
                words::join(command)
            ));
        }
        Ok(())
    }

    /// What follows `{config}` in its word belongs to the name of the file: some brokers want `.toml` or `.conf`.
    pub fn config_suffix(&self) -> &str {
        self.command.iter().find_map(|word| Some(word.split_once(CONFIG)?.1)).unwrap_or_default()
    }

    /// It has a folder of its own for its data.
    pub fn keeps_data(&self) -> bool {
        let config = self.config.iter();
        self.command.iter().chain(config).any(|text| text.contains(DATA))
    }

    /// As it is shown: with places instead of this machine's path for the relays.
    pub fn shown_command(&self) -> String {
        if self.is_null {
            return format!("loadgen {}", words::join(&self.command[1..]));
        }
        words::join(&self.command)
    }
}

impl Run {
    /// The same, after a restart that comes after `before`.
    pub fn after_restart(self, before: &str) -> Result<Run, String> {
        let Run { words, expected, .. } = Run::new(&self.name, before)?;
        Ok(Run { before: Some(words), suits_null: false, expected: self.expected + expected, ..self })
    }

    /// `command` is a scenario as it stands behind `loadgen`.
    pub fn new(name: &str, command: &str) -> Result<Run, String> {
        let name = check_name("a run", name)?;
        let error = |error: String| format!("run `{command}`: {error}");
        let words = words::split(command).map_err(error)?;
        if words.is_empty() {
            return Err(error("there is no scenario".to_owned()));
        }
        let all = std::iter::once("loadgen".to_owned()).chain(words.iter().cloned());
        let matches = Cli::command().try_get_matches_from(all).map_err(|found| error(first_line(&found)))?;
        let Some((scenario, flags)) = matches.subcommand() else {
            return Err(error("there is no scenario".to_owned()));
        };
        if NOT_SCENARIOS.contains(&scenario) {
            return Err(error(format!("`{scenario}` is no scenario")));
        }
        for flag in SET_HERE {
            let is_there = flags.ids().any(|id| id == flag);
            if is_there && flags.value_source(flag) == Some(ValueSource::CommandLine) {
                return Err(error(format!("leave out --{flag}: `compare` sets it for each broker")));
            }
        }
        let qos = flags.try_get_one::<QoS>("qos").ok().flatten().copied();
        let seconds = |flag| flags.try_get_one::<u64>(flag).ok().flatten().copied().unwrap_or(0);
        let expected = Duration::from_secs(1 + seconds("warmup") + seconds("duration") + seconds("hold"));
        let suits_null = NULL_SCENARIOS.contains(&scenario) && qos.is_none_or(|qos| qos == QoS::AtMostOnce);
        Ok(Run { name, words, suits_null, before: None, expected })
    }

    /// As it is shown.
    pub fn shown_command(&self) -> String {
        let command = words::join(&self.words);
        let before = self.before.as_ref().map(|before| format!("{}, restart, ", words::join(before)));
        before.unwrap_or_default() + &command
    }

    /// By rule, not by trial: what a relay that only moves bytes cannot do is left out.
    pub fn suits(&self, contender: &Contender) -> bool {
        (self.suits_null || !contender.is_null) && (self.before.is_none() || contender.keeps_data())
    }
}

fn check_name(what: &str, name: &str) -> Result<String, String> {
    let name = name.trim();
    let is_long = name.chars().count() > NAME_CHARS_MAX;
    if name.is_empty() || is_long || name.contains(char::is_control) {
        return Err(format!("the name of {what} has 1 to {NAME_CHARS_MAX} characters, and `{name}` has not"));
    }
    Ok(name.to_owned())
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

pub const PORT: &str = "{port}";
pub const CONFIG: &str = "{config}";
/// A folder on the disk: in a broker's command or configuration its own, in a run's command that of all of them.
pub const DATA: &str = "{data}";
const NAME_CHARS_MAX: usize = 60;
const NOT_SCENARIOS: [&str; 3] = ["null", "compare", "help"];
const SET_HERE: [&str; 4] = ["host", "port", "pid", "json"];
/// What the relay can do, at QoS 0.
const NULL_SCENARIOS: [&str; 4] = ["p2p", "fanin", "fanout", "connect"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_relay_gets_what_it_can_do() {
        for (command, suits_null) in [
            ("p2p -n 50 -w 2000", true),
            ("fanout --rate 100", true),
            ("connect -n 10", true),
            ("p2p -q 1", false),
            ("fanin --qos 2", false),
            ("idle -n 10", false),
        ] {
            assert_eq!(Run::new("r", command).unwrap().suits_null, suits_null, "{command}");
        }
    }

    #[test]
    fn a_run_is_expected_to_take_what_it_says() {
        assert_eq!(Run::new("r", "p2p -d 7 --warmup 2").unwrap().expected, Duration::from_secs(10));
        assert_eq!(Run::new("r", "idle --hold 3").unwrap().expected, Duration::from_secs(4));
    }

    #[test]
    fn a_run_that_cannot_be_is_a_sentence() {
        for (command, text) in [
            ("", "there is no scenario"),
            ("p3p -n 5", "p3p"),
            ("p2p --no-such-flag", "--no-such-flag"),
            ("p2p -q 3", "the QoS is 0, 1 or 2"),
            ("p2p 'x", "never closed"),
            ("null", "`null` is no scenario"),
            ("p2p -p 1883", "leave out --port"),
            ("p2p --json -", "leave out --json"),
            ("idle --pid 1", "leave out --pid"),
        ] {
            let error = Run::new("r", command).unwrap_err();
            assert!(error.contains(text), "{command}: {error}");
        }
    }

    #[test]
    fn only_a_broker_that_keeps_its_data_is_restarted() {
        let run = Run::new("r", "persistent --filled").unwrap().after_restart("persistent --keep").unwrap();
        assert_eq!(run.shown_command(), "persistent --keep, restart, persistent --filled");
        assert_eq!(run.expected, Duration::from_secs(2));
        for (command, suits) in [("x -p {port}", false), ("x -p {port} --data-dir {data}", true)] {
            assert_eq!(run.suits(&Contender::new("b", command).unwrap()), suits, "{command}");
        }
        assert!(Run::new("r", "p2p").unwrap().after_restart("null").is_err());
    }

    #[test]
    fn a_broker_says_where_its_port_goes() {
        let contender = Contender::new("b", "mosquitto -v").unwrap();
        let error = contender.check().unwrap_err();
        assert!(error.contains("--broker b='mosquitto -v -p {port}'"), "{error}");
        assert!(Contender::new("b", "mosquitto -p {port}").unwrap().check().is_ok());
        assert!(Contender::new("b", " ").is_err() && Contender::new("", "a").is_err());
        assert!(Contender::new("b", "x --config {config} {port}").unwrap().check().is_err());
        let config = Some("port {port}".to_owned());
        let contender = Contender { config, ..Contender::new("b", "x -c {config}").unwrap() };
        assert!(contender.check().is_ok() && contender.config_suffix().is_empty());
        assert_eq!(Contender::new("b", "x --file={config}.toml").unwrap().config_suffix(), ".toml");
        assert!(Contender { command: vec!["x".to_owned()], ..contender }.check().is_err());
    }
}
