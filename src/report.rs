//! What `--test-config` says of a configuration without mistakes: what it sets, and what is seldom meant.

use crate::config::{Loaded, Settings};

/// Each setting that is not the default, with the source that decided it; each listener and each ban with what it says of itself;
/// and the warnings that a start would give.
pub fn report(loaded: &Loaded, warnings: &[String]) -> String {
    let mut text = "configuration ok\n".to_owned();
    let defaults = Settings::default();
    for (key, origin) in &loaded.origins {
        let value = key.show(&loaded.settings);
        if value != key.show(&defaults) {
            text.push_str(&format!("{}.{} = {value} ({origin})\n", key.section, key.name));
        }
    }
    for listener in &loaded.settings.listeners {
        let address = listener.address.as_ref().map_or(String::new(), ToString::to_string);
        let address = ("address", format!("{address:?}"));
        text.push_str(&table("listener", &[vec![address], listener.own()].concat()));
    }
    loaded.settings.bans.iter().for_each(|ban| text.push_str(&table("ban", &ban.shown())));
    let listeners = loaded.listeners();
    let addresses: Vec<String> =
        listeners.iter().filter_map(|listener| listener.address.as_ref()).map(ToString::to_string).collect();
    text.push_str(&format!("would listen on {}\n", addresses.join(" and ")));
    warnings.iter().for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    text
}

/// One of a list, on one line.
fn table(section: &str, entries: &[(&str, String)]) -> String {
    let shown: Vec<String> = entries.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("[[{section}]] {}\n", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};

    #[test]
    fn the_report_names_what_was_set_and_by_whom() {
        let flags = Flags { shards: Some("2".to_owned()), ..Flags::default() };
        let environment = [("IOTHUB_SERVER__MAX_PACKET_SIZE".into(), "2 MiB".into())];
        let loaded = config::load(None, environment, &flags).expect("no problem");
        assert_eq!(
            report(&loaded, &["something".to_owned()]),
            "configuration ok\n\
             server.max_packet_size = \"2 MiB\" (environment variable IOTHUB_SERVER__MAX_PACKET_SIZE)\n\
             runtime.shards = 2 (flag --shards)\n\
             would listen on tcp://127.0.0.1:1883 and tcp://[::1]:1883\n\
             warning: something\n"
        );
    }

    #[test]
    fn the_report_leaves_out_what_is_the_default_and_names_short_flags() {
        let environment = [
            ("IOTHUB_LOG__LEVEL".into(), "debug".into()),
            ("IOTHUB_SERVER__MAX_CONNECTIONS".into(), "10000".into()),
        ];
        let flags = Flags { port: Some("5".to_owned()), louder: 3, ..Flags::default() };
        let loaded = config::load(None, environment, &flags).expect("no problem");
        assert_eq!(
            report(&loaded, &[]),
            "configuration ok\n\
             server.listen_addresses = [\"tcp://127.0.0.1:5\", \"tcp://[::1]:5\"] (flag --port)\n\
             log.level = \"trace\" (flag --verbose)\n\
             would listen on tcp://127.0.0.1:5 and tcp://[::1]:5\n"
        );
    }

    #[test]
    fn listeners_and_bans_are_listed_with_what_they_say_of_themselves() {
        let path = std::env::temp_dir().join(format!("iothub-report-{}", std::process::id()));
        let text = "[[listener]]\naddress = \"127.0.0.1:5\"\nmax_connections = 7\nnodelay = true\n\
                    [[listener]]\naddress = \"unix:///run/mqtt\"\n\
                    [[ban]]\nusers = [\"ada\"]\nuntil = 2030-01-31T12:00:00Z\n";
        std::fs::write(&path, text).expect("written");
        let loaded = config::load(Some(&path), [], &Flags::default()).expect("no problem");
        std::fs::remove_file(path).expect("removed");
        assert_eq!(
            report(&loaded, &[]),
            "configuration ok\n\
             [[listener]] address = \"tcp://127.0.0.1:5\", max_connections = 7\n\
             [[listener]] address = \"unix:///run/mqtt\"\n\
             [[ban]] users = [\"ada\"], until = \"2030-01-31T12:00:00Z\"\n\
             would listen on tcp://127.0.0.1:5 and unix:///run/mqtt\n"
        );
    }
}
