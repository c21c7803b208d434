//! A suite file: brokers and runs of a comparison in TOML. A mistake is told with its line.

use std::ops::Range;
use std::path::Path;

use clap::ValueEnum;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::cpus::Cpus;
use super::plan::{Contender, Run};
use super::words;
use crate::null::Engine;

/// What a file says; the command line may say more, or otherwise.
#[derive(Debug, Default)]
pub struct Suite {
    pub repeat: Option<u32>,
    pub broker_cpus: Option<Cpus>,
    pub load_cpus: Option<Cpus>,
    pub contenders: Vec<Contender>,
    pub runs: Vec<Run>,
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

impl Suite {
    pub fn read(path: &Path) -> Result<Suite, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the suite {}: {error}", path.display()))?;
        Suite::parse(&text).map_err(|(span, error)| {
            let line = 1 + text[..span.start.min(text.len())].matches('\n').count();
            format!("{}:{line}: {error}", path.display())
        })
    }

    fn parse(text: &str) -> Result<Suite, Mistake> {
        let document = DeTable::parse(text)
            .map_err(|error| (error.span().unwrap_or(0..0), error.message().to_owned()))?;
        let mut suite = Suite::default();
        // Relays first, wherever the key stands: the first of them is what the others are compared with.
        let mut brokers = Vec::new();
        for (key, value) in document.get_ref() {
            match key.get_ref().as_ref() {
                "repeat" => suite.repeat = Some(repeat(value)?),
                "broker_cpus" => suite.broker_cpus = Some(cpus(value)?),
                "load_cpus" => suite.load_cpus = Some(cpus(value)?),
                "null" => suite.contenders = relays(value)?,
                "broker" => brokers = tables(value)?.map(broker).collect::<Result<_, _>>()?,
                "run" => suite.runs = tables(value)?.map(run).collect::<Result<_, _>>()?,
                other => {
                    return Err((
                        key.span(),
                        format!(
                            "unknown key `{other}`: there are repeat, broker_cpus, load_cpus, null, [[broker]] and [[run]]"
                        ),
                    ));
                }
            }
        }
        suite.contenders.append(&mut brokers);
        Ok(suite)
    }
}

type Mistake = (Range<usize>, String);

fn repeat(value: &Spanned<DeValue<'_>>) -> Result<u32, Mistake> {
    let number = value.get_ref().as_integer();
    let number = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
    number
        .filter(|number| (1..=1000).contains(number))
        .ok_or_else(|| (value.span(), "`repeat` is a number from 1 to 1000".to_owned()))
}

fn cpus(value: &Spanned<DeValue<'_>>) -> Result<Cpus, Mistake> {
    Cpus::parse_present(text("a list of processors", value)?).map_err(|error| (value.span(), error))
}

fn relays(value: &Spanned<DeValue<'_>>) -> Result<Vec<Contender>, Mistake> {
    let names = value.get_ref().as_array();
    let names =
        names.ok_or_else(|| (value.span(), "`null` is a list: [\"epoll\", \"io-uring\"]".to_owned()))?;
    let relay = |name: &Spanned<DeValue<'_>>| {
        let engine = Engine::from_str(text("a relay", name)?, false)
            .map_err(|_| (name.span(), "the relays are \"epoll\" and \"io-uring\"".to_owned()))?;
        Contender::null(engine).map_err(|error| (name.span(), error))
    };
    names.iter().map(relay).collect()
}

/// The tables of `[[name]]`.
fn tables<'t, 'i>(
    value: &'t Spanned<DeValue<'i>>,
) -> Result<impl Iterator<Item = (Range<usize>, &'t DeTable<'i>)>, Mistake> {
    let wrong =
        || (value.span(), "write each of them as a table of its own: [[broker]] or [[run]]".to_owned());
    let array = value.get_ref().as_array().ok_or_else(wrong)?;
    if array.iter().any(|item| item.get_ref().as_table().is_none()) {
        return Err(wrong());
    }
    Ok(array.iter().filter_map(|item| Some((item.span(), item.get_ref().as_table()?))))
}

fn broker((span, table): (Range<usize>, &DeTable<'_>)) -> Result<Contender, Mistake> {
    let [name, command, version, config] =
        texts("broker", span.clone(), table, ["name", "command", "version", "config"])?;
    let (Some(name), Some(command)) = (name, command) else {
        return Err((span, "a [[broker]] has a `name` and a `command`".to_owned()));
    };
    let made = || -> Result<Contender, String> {
        let mut contender = Contender::new(name, command)?;
        contender.version_command = version.map(words::split).transpose()?;
        contender.config = config.map(str::to_owned);
        contender.check()?;
        Ok(contender)
    };
    made().map_err(|error| (span, error))
}

fn run((span, table): (Range<usize>, &DeTable<'_>)) -> Result<Run, Mistake> {
    let [name, command, before] = texts("run", span.clone(), table, ["name", "command", "before"])?;
    let Some(command) = command else {
        return Err((span, "a [[run]] has a `command`: a scenario with its flags".to_owned()));
    };
    let made = Run::new(name.unwrap_or(command), command);
    let made = made
        .and_then(|run| before.map_or_else(|| Ok(run.clone()), |before| run.clone().after_restart(before)));
    made.map_err(|error| (span, error))
}

/// The texts of a table by key; any other key is a mistake.
fn texts<'t, const N: usize>(
    what: &str,
    span: Range<usize>,
    table: &'t DeTable<'_>,
    keys: [&str; N],
) -> Result<[Option<&'t str>; N], Mistake> {
    let mut found = [None; N];
    for (key, value) in table {
        let (key, value): Entry<'t, '_> = (key, value);
        let Some(at) = keys.iter().position(|known| *known == key.get_ref().as_ref()) else {
            let known = keys.join(", ");
            let error = format!("unknown key `{}` in [[{what}]]: there are {known}", key.get_ref());
            return Err((if key.span().is_empty() { span } else { key.span() }, error));
        };
        found[at] = Some(text(keys[at], value)?);
    }
    Ok(found)
}

fn text<'t>(what: &str, value: &'t Spanned<DeValue<'_>>) -> Result<&'t str, Mistake> {
    value.get_ref().as_str().ok_or_else(|| (value.span(), format!("{what} is a text in quotes")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_suite_is_read_with_its_relays_first() {
        let suite = Suite::parse(
            "repeat = 3\nbroker_cpus = \"0\"\n[[broker]]\nname = \"m\"\ncommand = \"m -c {config}\"\n\
             version = \"m -h\"\nconfig = \"\"\"\nlistener {port}\n\"\"\"\n[[run]]\ncommand = \"p2p -q 1\"\n\
             [[run]]\nname = \"still\"\ncommand = \"idle -n 3\"\n",
        );
        let suite = suite.unwrap();
        assert_eq!(suite.repeat, Some(3));
        assert_eq!(suite.contenders[0].config.as_deref(), Some("listener {port}\n"));
        assert_eq!(suite.contenders[0].version_command.as_ref().unwrap().len(), 2);
        let names: Vec<&str> = suite.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["p2p -q 1", "still"]);
        let suite = Suite::parse(
            "null = [\"io-uring\", \"epoll\"]\n[[broker]]\nname = \"a\"\ncommand = \"a {port}\"\n",
        );
        let names: Vec<String> = suite.unwrap().contenders.into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["null io-uring", "null epoll", "a"]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let path = std::env::temp_dir().join(format!("loadgen-suite-{}.toml", std::process::id()));
        for (text, line, what) in [
            ("a = \n", 1, ""),
            ("\nrepeats = 3\n", 2, "unknown key `repeats`"),
            ("repeat = 0\n", 1, "from 1 to 1000"),
            ("repeat = \"3\"\n", 1, "from 1 to 1000"),
            ("repeat = 1\nload_cpus = \"1023\"\n", 2, "there is no processor 1023"),
            ("null = \"epoll\"\n", 1, "is a list"),
            ("null = [\n\"epol\"]\n", 2, "the relays are"),
            ("broker = \"x\"\n", 1, "a table of its own"),
            ("\n[[broker]]\nname = \"x\"\n", 2, "a `command`"),
            ("\n[[broker]]\nname = \"x\"\ncommand = \"x\"\n", 2, "has no {port}"),
            ("[[broker]]\nname = \"x\"\ncommand = 3\n", 3, "is a text in quotes"),
            ("[[run]]\nname = \"x\"\n", 1, "a [[run]] has a `command`"),
            ("[[run]]\ncommand = \"p2p\"\nbefore = \"p3p\"\n", 1, "p3p"),
            ("[[run]]\ncommand = \"p2p\"\nflags = \"x\"\n", 3, "unknown key `flags`"),
            ("[[run]]\ncommand = \"p2p\"\n[[run]]\ncommand = \"p3p\"\n", 3, "p3p"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Suite::read(&path).unwrap_err();
            assert!(error.contains(&format!(".toml:{line}: ")), "{text}: {error}");
            assert!(error.contains(what), "{text}: {error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Suite::read(&path).unwrap_err().contains("cannot read the suite"));
    }

    #[test]
    fn the_suites_of_this_folder_are_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let suite = Suite::read(&entry.unwrap().path()).unwrap();
            assert!(!suite.runs.is_empty());
            count += 1;
        }
        assert!(count >= 2);
    }
}
