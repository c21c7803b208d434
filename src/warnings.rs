//! What is configured and seldom meant: doors that stand open or that nobody gets in by, settings that say nothing, and what is
//! over. None of it keeps a broker from starting.

mod vain;

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use runtime::Place;

use crate::{
    config::{Address, Admittance, Anonymous, Authentication, Settings, Way, Ways, moment},
    listen::{self, Entrance},
    numbering::Numbers,
    tls,
};

/// All that a start says, a sentence for each.
pub fn all(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let of_data_dir = of_data_dir(settings).into_iter().collect();
    [of_settings(settings, numbers), of_time(settings, numbers), of_data_dir].concat()
}

/// Of the settings themselves, a sentence for each.
pub fn of_settings(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let open = numbers.open().filter(|entrance| listen::is_open(&entrance.place));
    let strangers = open.filter_map(|entrance| stranger(settings, entrance));
    once(
        strangers
            .chain(believed(numbers))
            .chain(in_clear(settings))
            .chain(idle(settings, numbers))
            .chain(vain::sentences(settings, numbers)),
    )
}

/// Of what is over, or will be soon: certificates, lists of what is revoked, and bans.
pub fn of_time(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let speaking = numbers.open().filter(|entrance| entrance.speaks_tls(settings));
    let files = speaking.flat_map(|entrance| tls::dates(&entrance.listener.tls(&settings.tls), now_s));
    once(files.chain(bans(settings, now_s)))
}

/// Of what others on this machine can read in the data directory. What the broker makes there is for its user alone.
fn of_data_dir(settings: &Settings) -> Option<String> {
    let dir = Some(Path::new(&settings.store.dir)).filter(|dir| !dir.as_os_str().is_empty())?;
    let found = readable(dir, FOLDERS_DEEP)?;
    let (found, dir) = (found.display(), dir.display());
    Some(format!(
        "others on this machine can read {found}, which holds what clients have sent: chmod -R o= {dir}"
    ))
}

/// A file that others can read, and can get to.
fn readable(folder: &Path, deep: usize) -> Option<PathBuf> {
    let mode = |path: &Path| fs::symlink_metadata(path).map_or(0, |found| found.permissions().mode());
    if mode(folder) & 0o001 == 0 {
        return None;
    }
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    entries.find_map(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().ok()?);
        match kind.is_dir() {
            true if deep > 0 => readable(&path, deep - 1),
            _ => (kind.is_file() && mode(&path) & 0o004 != 0).then_some(path),
        }
    })
}

/// Shards have a folder each.
const FOLDERS_DEEP: usize = 2;

/// Listeners that share their settings are not told twice.
fn once(sentences: impl Iterator<Item = String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for sentence in sentences {
        if !told.contains(&sentence) {
            told.push(sentence);
        }
    }
    told
}

/// An open broker on the network is a decision, and one that nobody gets into is seldom meant.
fn stranger(settings: &Settings, entrance: &Entrance) -> Option<String> {
    let address = &entrance.address;
    let Admittance { ways, anonymous } = Admittance::of(&settings.authentication, &entrance.listener);
    match anonymous {
        Anonymous::Always if entrance.listener.authentication == Ways::Off => Some(format!(
            "{address} can be reached from the network, and nobody is asked who it is there (authentication = \"off\"): \
             whoever gets there is a client"
        )),
        Anonymous::Always => Some(format!(
            "{address} can be reached from the network, and lets in who says nothing about itself \
             (authentication.anonymous = \"always\"): whoever gets there is a client"
        )),
        Anonymous::Local if ways.is_empty() => Some(format!(
            "{address} can be reached from the network, and only clients on this machine are let in: nothing says \
             how others prove who they are. Name a password file (iothub passwd -c FILE USER; \
             authentication.password_file), or let everybody in (authentication.anonymous = \"always\")"
        )),
        Anonymous::Local | Anonymous::Never => None,
    }
}

/// At a socket in the file system its mode says who is a proxy.
fn believed(numbers: &Numbers) -> impl Iterator<Item = String> {
    let is_believed = |entrance: &&Entrance| {
        let Entrance { listener, place, .. } = entrance;
        let is_for_all = matches!(place, Place::Unix { mode, .. } if mode & 0o002 != 0);
        is_for_all && !listener.proxy_protocol_from.is_empty()
    };
    numbers.open().filter(is_believed).map(|Entrance { address, .. }| {
        format!(
            "everybody on this machine may open {address} (socket_mode) and is believed there as a proxy, whatever address it \
             says (proxy_protocol_from): give the socket a group and the mode 0660"
        )
    })
}

/// Who is asked over a network without TLS.
fn in_clear(settings: &Settings) -> Vec<String> {
    let Authentication { http_url, jwt_keys, .. } = &settings.authentication;
    let asked = [
        (
            "authentication.http_url",
            http_url,
            "users and passwords can be read and answers changed on the way",
        ),
        (
            "authentication.jwt_keys",
            jwt_keys,
            "keys can be changed on the way, and then anybody's tokens count",
        ),
        (
            "telemetry.otlp_endpoint",
            &settings.telemetry.otlp_endpoint,
            "client ids, users, topics and what authorizes can be read on the way",
        ),
    ];
    let is_far = |url: &str| {
        let authority = url.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
        let host = Address::parse_endpoint(authority, 80).map(|(host, _)| host)?;
        let address = host.parse::<IpAddr>();
        Some(address.map_or(host != "localhost", |address| !address.to_canonical().is_loopback()))
    };
    let far = asked.into_iter().filter(|(_, url, _)| is_far(url) == Some(true));
    far.map(|(name, _, what)| format!("{name} is http:// and not on this machine: {what}. Write https://"))
        .collect()
}

/// What is configured and asked nowhere.
fn idle(settings: &Settings, numbers: &Numbers) -> impl Iterator<Item = String> {
    let authentication = &settings.authentication;
    let asked: Vec<Way> =
        numbers.open().flat_map(|entrance| Admittance::of(authentication, &entrance.listener).ways).collect();
    let is_idle = move |way: &Way| authentication.has(*way) && !asked.contains(way);
    let sentence = |way: Way| {
        format!(
            "no listener asks authentication.{}: name \"{}\" in authentication.order or in the authentication of a listener",
            way.key(),
            way.word()
        )
    };
    Way::ALL.into_iter().filter(is_idle).map(sentence)
}

fn bans(settings: &Settings, now_s: u64) -> impl Iterator<Item = String> {
    settings.bans.iter().filter_map(move |ban| {
        let until = ban.until.filter(|until| *until <= now_s)?;
        let until = moment::show(until);
        Some(format!("the [[ban]] of {} has ended at {until}: take it out of the file", ban.whom()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listener;

    #[test]
    fn a_socket_where_everybody_is_believed_as_a_proxy_is_named() {
        let of = |mode, proxies: &[&str]| {
            let address = Address::parse("unix:///run/mqtt.sock").expect("an address");
            let proxy_protocol_from = proxies.iter().map(|text| text.parse().expect("a network")).collect();
            let listener = Listener { socket_mode: mode, proxy_protocol_from, ..Listener::at(address) };
            let listen = listen::resolve(vec![listener], false).expect("a place");
            believed(&Numbers::first(listen.entrances)).collect::<Vec<String>>()
        };
        let told = of(0o666, &["127.0.0.1"]);
        assert!(
            told.len() == 1
                && told[0].starts_with("everybody on this machine may open unix:///run/mqtt.sock")
        );
        assert!(of(0o660, &["127.0.0.1"]).is_empty() && of(0o666, &[]).is_empty());
    }

    #[test]
    fn who_is_asked_over_a_network_without_tls_is_named() {
        for (url, is_told) in [
            ("http://auth.example/check", true),
            ("http://192.0.2.1:8000", true),
            ("http://[2001:db8::1]:80/x", true),
            ("https://auth.example/check", false),
            ("http://localhost:8000/", false),
            ("http://127.0.0.1/", false),
            ("http://[::1]:8000/", false),
            ("keys.json", false),
        ] {
            let mut settings = Settings::default();
            settings.authentication.jwt_keys = url.to_owned();
            settings.telemetry.otlp_endpoint = url.to_owned();
            let told = in_clear(&settings);
            assert_eq!(told.len(), if is_told { 2 } else { 0 }, "{url}: {told:?}");
            for (told, key) in told.iter().zip(["authentication.jwt_keys", "telemetry.otlp_endpoint"]) {
                assert!(told.starts_with(&format!("{key} is http:// and")), "{told}");
            }
        }
    }

    #[test]
    fn what_others_can_read_in_the_data_directory_is_named() {
        let dir = std::env::temp_dir().join(format!("iothub-readable-{}", std::process::id()));
        let shard = dir.join("shard-0");
        fs::create_dir_all(&shard).expect("made");
        fs::write(shard.join("log"), "").expect("written");
        let set =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        let mut settings = Settings::default();
        assert_eq!(of_data_dir(&settings), None, "there is none");
        settings.store.dir = dir.display().to_string();
        for (of_dir, of_shard, of_file, is_open) in [
            (0o755, 0o755, 0o644, true),
            (0o755, 0o711, 0o604, true),
            (0o755, 0o755, 0o640, false),
            (0o755, 0o700, 0o644, false),
            (0o750, 0o755, 0o644, false),
        ] {
            set(&shard.join("log"), of_file);
            set(&shard, of_shard);
            set(&dir, of_dir);
            let told = of_data_dir(&settings);
            assert_eq!(told.is_some(), is_open, "{of_dir:o} {of_shard:o} {of_file:o}: {told:?}");
        }
        set(&dir, 0o755);
        set(&shard, 0o755);
        let told = of_data_dir(&settings).expect("it can be read");
        let shown = dir.display();
        assert!(
            told.starts_with(&format!("others on this machine can read {shown}/shard-0/log, which")),
            "{told}"
        );
        fs::remove_dir_all(dir).expect("removed");
    }
}
