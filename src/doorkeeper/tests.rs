//! What is asked over HTTP, and who gets the secret of the call-out.

use std::{env, fs, os::unix::fs::PermissionsExt, process};

use identity::Judgement;

use super::*;
use crate::one_question::server;

fn ask(password: &str) -> identity::Ask {
    identity::Ask {
        listener: "default".into(),
        address: None,
        client_id: "client".into(),
        user: Some("anna".into()),
        password: Some(Secret::new(password.as_bytes())),
        certificate: None,
        version: 5,
        enhanced: None,
        is_relayed: false,
    }
}

#[test]
fn the_secret_of_the_call_out_goes_to_the_call_out_alone() {
    let file = env::temp_dir().join(format!("iothub-authorization-{}", process::id()));
    fs::write(&file, "Bearer hunter2").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("made private");
    let http_authorization_file = file.display().to_string();
    let (keys, asked_for_keys) = server(404);
    let (program, asked_program) = server(404);
    let settings = Authentication {
        jwt_keys: keys,
        http_url: program,
        http_authorization_file,
        ..Authentication::default()
    };
    // The head of a token that claims nothing, which is enough to look for its key.
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.AA";
    let _ = tokens(&settings).expect("a URL").judge(&ask(token), 1_000_000_000_000);
    assert!(!asked_for_keys.join().expect("asked").contains("hunter2"));
    let _ = CallOut::new(call_out(&settings).expect("a URL")).judge(&ask("x"), 0);
    assert!(asked_program.join().expect("asked").contains("hunter2"));
    fs::remove_file(file).expect("removed");
}

#[test]
fn a_url_with_a_password_is_refused_and_not_repeated() {
    let url = "https://anna:hunter2@example.com/";
    let settings = Authentication { jwt_keys: url.into(), http_url: url.into(), ..Authentication::default() };
    for (key, error) in [("jwt_keys", tokens(&settings).err()), ("http_url", call_out(&settings).err())] {
        let fault = error.expect("refused");
        assert!(!fault.what.contains("hunter2"), "{fault:?}");
        assert_eq!(fault, Fault::of("authentication", key, fault.what.clone()));
    }
}

#[test]
fn tokens_without_a_claim_for_the_user_are_refused_ahead() {
    let url = "https://example.com/".to_owned();
    let settings =
        Authentication { jwt_keys: url, jwt_user_claim: String::new(), ..Authentication::default() };
    let fault = tokens(&settings).expect_err("no name");
    assert_eq!(fault, Fault::of("authentication", "jwt_user_claim", fault.what.clone()));
}

#[test]
fn the_server_of_keys_has_authorities_of_its_own() {
    let settings = Authentication {
        jwt_keys: "https://example.com/".into(),
        jwt_ca_file: "/nowhere/at/all".into(),
        ..Authentication::default()
    };
    let fault = tokens(&settings).expect_err("no file");
    assert!(fault.what.contains("/nowhere/at/all"), "{fault:?}");
    assert_eq!(fault, Fault::of("authentication", "jwt_ca_file", fault.what.clone()));
}

#[test]
fn a_token_counts_as_much_longer_as_is_configured() {
    let file = env::temp_dir().join(format!("iothub-leeway-{}", process::id()));
    fs::write(&file, "a secret of at least thirty-two bytes").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("made private");
    // {"sub":"anna","exp":1000}
    let token =
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjoxMDAwfQ.H-nQ5R0srObIqJy3sry7KS94jNaHVYap1KCy2i2lL_o";
    for (jwt_leeway_secs, end_s) in [(30, 1030), (0, 1000), (600, 1600)] {
        let jwt_keys = file.display().to_string();
        let settings = Authentication { jwt_keys, jwt_leeway_secs, ..Authentication::default() };
        let tokens = tokens(&settings).expect("a key");
        let judge = |at_s: u64| tokens.judge(&ask(token), at_s * 1000);
        let Judgement::Accept(identity) = judge(end_s - 1) else { panic!("taken before {end_s}") };
        assert_eq!(identity.expires_at_unix_ms, Some(end_s * 1000));
        assert!(matches!(judge(end_s), Judgement::Reject(_)), "{end_s}");
    }
    fs::remove_file(file).expect("removed");
}

#[test]
fn who_decides_stands_in_the_order_that_the_listener_says() {
    use crate::config::{Address, Listener, Ways};
    let entrance = |port: u16, authentication: Ways| {
        let address = Address::parse(&format!("tcp://127.0.0.1:{port}")).expect("an address");
        let place = runtime::Place::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        Entrance { listener: Listener { authentication, ..Listener::at(address.clone()) }, address, place }
    };
    let numbers = Numbers::first(vec![
        entrance(1, Ways::Inherited),
        entrance(2, Ways::These(vec![Way::Certificate, Way::Http])),
        entrance(3, Ways::Off),
    ]);
    let authentication = Authentication {
        certificate_user: CertificateUser::CommonName,
        http_url: "http://127.0.0.1:1/".to_owned(),
        order: vec![Way::Http, Way::Certificate],
        anonymous: Who::Never,
        ..Authentication::default()
    };
    let settings = Settings { authentication, ..Settings::default() };
    let (chains, _) = chains(&settings, &numbers, &Secret::new(b"s")).expect("nothing is read");
    let shown = format!("{chains:?}");
    for expected in [
        r#""tcp://127.0.0.1:1": ["call-out http://127.0.0.1:1/", "certificate"]"#,
        r#""tcp://127.0.0.1:2": ["certificate", "call-out http://127.0.0.1:1/"]"#,
        r#""tcp://127.0.0.1:3": ["anonymous"]"#,
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(asks(&settings, &entrance(1, Ways::Inherited), false));
    assert!(!asks(&settings, &entrance(3, Ways::Off), false));
}
