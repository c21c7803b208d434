//! Who has to wait, how long, and who does not.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Name::{Client, User},
    *,
};

fn ip(last: u8) -> Option<IpAddr> {
    Some(Ipv4Addr::new(192, 0, 2, last).into())
}

fn throttle() -> Throttle {
    Throttle::new(ThrottleLimits::default())
}

fn wait_ms<'a>(
    throttle: &Throttle,
    now_ms: u64,
    ip: Option<IpAddr>,
    names: impl IntoIterator<Item = Name<'a>>,
) -> Option<u64> {
    throttle.wait(now_ms, at(ip), names).map(|wait| wait.ms)
}

/// One and the same client.
fn at(ip: Option<IpAddr>) -> Comer<'static> {
    Comer { ip, client_id: "client" }
}

#[test]
fn who_has_to_wait_is_told_for_whose_failures() {
    let whose = |throttle: &Throttle, ip, name| throttle.wait(0, at(ip), Some(name)).map(|wait| wait.whose);
    let mut throttle = throttle();
    (0..4).for_each(|_| throttle.on_failure(0, at(ip(1)), Some(User("alice"))));
    assert_eq!(whose(&throttle, ip(1), User("alice")), Some(Whose::Client));
    let other = Comer { ip: ip(1), client_id: "other" };
    assert_eq!(throttle.wait(0, other, Some(User("alice"))), None);
    (0..14).for_each(|n| {
        throttle.on_failure(0, Comer { client_id: &n.to_string(), ..other }, Some(User("alice")))
    });
    let wait = throttle.wait(0, other, Some(User("alice")));
    assert_eq!(wait.map(|wait| wait.whose), Some(Whose::NameThere));
    assert_eq!(whose(&throttle, ip(2), User("alice")), None);
    (0..40).for_each(|n| throttle.on_failure(0, at(ip(100 + n)), Some(User("alice"))));
    assert_eq!(whose(&throttle, ip(2), User("alice")), Some(Whose::NameAnywhere));
    (0..40).for_each(|n| throttle.on_failure(0, at(ip(3)), Some(User(&format!("u{n}")))));
    assert_eq!(whose(&throttle, ip(3), User("bob")), Some(Whose::Address));
}

#[test]
fn the_wait_grows_with_each_failure_up_to_the_longest() {
    // Nothing is forgiven meanwhile, so that each wait is twice the one before.
    let mut limits = ThrottleLimits::default();
    limits.client.forgiven_ms = u64::MAX;
    let mut throttle = Throttle::new(limits);
    let mut now_ms = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        throttle.on_failure(now_ms, at(ip(1)), Some(User("alice")));
        let wait = wait_ms(&throttle, now_ms, ip(1), Some(User("alice"))).unwrap_or(0);
        waits.push(wait);
        now_ms += wait;
    }
    assert_eq!(waits, [0, 0, 0, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
}

#[test]
fn the_wait_is_over_when_it_is_over_and_failures_are_forgiven() {
    let mut throttle = throttle();
    for _ in 0..5 {
        throttle.on_failure(1_000, at(ip(1)), Some(User("alice")));
    }
    assert_eq!(wait_ms(&throttle, 1_000, ip(1), Some(User("alice"))), Some(1_000));
    assert_eq!(wait_ms(&throttle, 1_999, ip(1), Some(User("alice"))), Some(1));
    assert_eq!(wait_ms(&throttle, 2_000, ip(1), Some(User("alice"))), None);
    // Two minutes forgive two of the five: the next failure is the fourth again.
    throttle.on_failure(121_000, at(ip(1)), Some(User("alice")));
    assert_eq!(wait_ms(&throttle, 121_000, ip(1), Some(User("alice"))), Some(500));
}

#[test]
fn a_device_with_a_wrong_password_does_not_hold_its_neighbours() {
    let mut throttle = throttle();
    // It tries whenever it may, for an hour.
    let mut tried = 0;
    for now_ms in (0..3_600_000).step_by(500) {
        if wait_ms(&throttle, now_ms, ip(1), Some(User("broken"))).is_none() {
            throttle.on_failure(now_ms, at(ip(1)), Some(User("broken")));
            tried += 1;
        }
        assert_eq!(wait_ms(&throttle, now_ms, ip(1), Some(User("fine"))), None, "at {now_ms}");
    }
    assert!(tried < 150, "{tried}");
}

/// A fleet has one user and one address, and one of its devices has a wrong password.
#[test]
fn a_device_with_a_wrong_password_does_not_hold_others_in_the_same_name() {
    let mut throttle = throttle();
    let fleet = Some(User("fleet"));
    let of = |client_id| Comer { ip: ip(1), client_id };
    let mut tried = 0;
    for now_ms in (0..3_600_000).step_by(500) {
        if throttle.wait(now_ms, of("broken"), fleet).is_none() {
            throttle.on_failure(now_ms, of("broken"), fleet);
            tried += 1;
        }
        assert_eq!(throttle.wait(now_ms, of("fine"), fleet), None, "at {now_ms}");
    }
    assert!(tried < 150, "{tried}");
}

#[test]
fn who_tries_many_client_ids_has_to_wait_and_whoever_was_let_in_does_not() {
    let mut throttle = throttle();
    let fleet = Some(User("fleet"));
    let fine = Comer { ip: ip(1), client_id: "fine" };
    throttle.on_arrival(0, fine, User("fleet"));
    let mut tried = 0;
    for now_ms in (0..3_600_000).step_by(500) {
        let guessed = now_ms.to_string();
        if throttle.wait(now_ms, Comer { client_id: &guessed, ..fine }, fleet).is_none() {
            throttle.on_failure(now_ms, Comer { client_id: &guessed, ..fine }, fleet);
            tried += 1;
        }
        assert_eq!(throttle.wait(now_ms, fine, fleet), None, "at {now_ms}");
    }
    assert!(tried < 250, "{tried}");
}

/// All of them were let in before, and try every five seconds; those of another user come a while later.
#[test]
fn a_fleet_whose_password_has_changed_holds_nobody_else_behind_its_router() {
    for size in [10, 20, 300] {
        let mut throttle = throttle();
        let ids: Vec<String> = (0..size).map(|n| format!("device{n}")).collect();
        ids.iter().for_each(|id| {
            throttle.on_arrival(0, Comer { ip: ip(1), client_id: id }, User("fleet"));
        });
        let mut failed = 0;
        for now_ms in (0..1_800_000_u64).step_by(5_000) {
            for id in &ids {
                let comer = Comer { ip: ip(1), client_id: id };
                if throttle.wait(now_ms, comer, Some(User("fleet"))).is_none() {
                    throttle.on_failure(now_ms, comer, Some(User("fleet")));
                    failed += 1;
                }
            }
            let other = Comer { ip: ip(1), client_id: "other" };
            assert_eq!(throttle.wait(now_ms, other, Some(User("others"))), None, "{size} at {now_ms}");
        }
        let believed = BELIEVED_FAILURES * size;
        assert!(failed < believed + 30 * 4, "{size}: {failed} guesses in half an hour");
    }
}

/// It knows whose client ids were let in there.
#[test]
fn whoever_guesses_in_the_names_of_those_who_were_let_in_is_believed_for_a_few_times() {
    let mut throttle = throttle();
    let ids: Vec<String> = (0..50).map(|n| format!("device{n}")).collect();
    ids.iter().for_each(|id| {
        throttle.on_arrival(0, Comer { ip: ip(1), client_id: id }, User("fleet"));
    });
    let mut tried = 0;
    for now_ms in (0..3_600_000).step_by(100) {
        for id in &ids {
            let comer = Comer { ip: ip(1), client_id: id };
            if throttle.wait(now_ms, comer, Some(User("fleet"))).is_none() {
                throttle.on_failure(now_ms, comer, Some(User("fleet")));
                tried += 1;
            }
        }
    }
    assert!(tried < 50 * 12 + 250, "{tried} in an hour");
}

/// The device that is named logs in once a second, and each of its logins ends well.
#[test]
fn a_login_gives_a_guesser_who_names_its_device_no_more_guesses() {
    let mut throttle = throttle();
    let device = Comer { ip: ip(1), client_id: "device" };
    let mut guesses = 0;
    for now_ms in (0..1_800_000).step_by(250) {
        if throttle.wait(now_ms, device, Some(User("fleet"))).is_none() {
            if now_ms % 1_000 == 0 {
                throttle.on_arrival(now_ms, device, User("fleet"));
            } else {
                throttle.on_failure(now_ms, device, Some(User("fleet")));
                guesses += 1;
            }
        }
    }
    assert!(guesses < 50, "{guesses} in half an hour");
}

/// With a user's password, or with a token that names nobody: each client id is a name then.
#[test]
fn who_draws_a_client_id_each_time_pushes_out_nobody_else() {
    let limits = ThrottleLimits { entries_max: 1_600, ..ThrottleLimits::default() };
    for has_user in [true, false] {
        let mut throttle = Throttle::new(limits);
        throttle.on_arrival(0, at(ip(1)), User("fleet"));
        for n in 0..20_000 {
            let drawn = n.to_string();
            let name = if has_user { User("eve") } else { Client(&drawn) };
            throttle.on_arrival(0, Comer { ip: ip(2), client_id: &drawn }, name);
        }
        for n in 0..40 {
            throttle.on_failure(0, Comer { ip: ip(1), client_id: &n.to_string() }, Some(User("fleet")));
            throttle.on_failure(0, at(ip(100 + n)), Some(User("fleet")));
        }
        assert_eq!(wait_ms(&throttle, 0, ip(1), Some(User("fleet"))), None, "with a user: {has_user}");
        let late = Comer { ip: ip(3), client_id: "late" };
        throttle.on_arrival(0, late, User("late"));
        assert!(throttle.is_believed(&throttle.keys(late, User("late"))), "there is room for others");
    }
}

#[test]
fn what_is_known_of_a_home_is_counted_as_long_as_it_is_known() {
    let limits = ThrottleLimits { entries_max: 64, ..ThrottleLimits::default() };
    let mut throttle = Throttle::new(limits);
    let count = |throttle: &Throttle, home| {
        let keys = throttle.keys(at(ip(home)), User("fleet"));
        let known = throttle.known.iter().filter(|of| **of == keys.home).count();
        let home = throttle.home(keys.home);
        assert_eq!((home.young + home.old) as usize, known);
        known
    };
    for round in 0..10 {
        for n in 0..5 {
            let comer = Comer { ip: ip(1), client_id: &n.to_string() };
            throttle.on_arrival(round, comer, User("fleet"));
            (0..10).for_each(|_| throttle.on_failure(round, comer, Some(User("fleet"))));
        }
        assert_eq!(count(&throttle, 1), 0, "what failed so often is not believed");
        throttle.clients.clear();
    }
    for n in 0..200_u8 {
        let comer = Comer { ip: ip(n % 20 + 1), client_id: &n.to_string() };
        throttle.on_arrival(0, comer, User("fleet"));
    }
    let known: usize = (1..=20).map(|home| count(&throttle, home)).sum();
    assert!(known == throttle.known.len() && known > 32, "{known}");
    for n in (0..200_u8).rev() {
        let comer = Comer { ip: ip(n % 20 + 1), client_id: &n.to_string() };
        throttle.on_arrival(0, comer, User("fleet"));
        assert_eq!((1..=20).map(|home| count(&throttle, home)).sum::<usize>(), throttle.known.len());
    }
}

#[test]
fn who_has_another_client_id_each_time_is_not_held_for_what_others_try_elsewhere() {
    let mut throttle = throttle();
    throttle.on_arrival(0, Comer { ip: ip(200), client_id: "draws-1" }, User("alice"));
    (0..40).for_each(|n| throttle.on_failure(0, at(ip(n)), Some(User("alice"))));
    let other = Comer { ip: ip(200), client_id: "draws-2" };
    assert_eq!(throttle.wait(0, other, Some(User("alice"))), None);
    assert!(wait_ms(&throttle, 0, ip(100), Some(User("alice"))).is_some());
}

/// It comes by a token that names nobody, and has failed so often that it is not known.
#[test]
fn a_client_that_names_no_user_is_not_held_for_what_others_try_elsewhere() {
    let mut throttle = throttle();
    throttle.on_arrival(0, at(ip(200)), Client("client"));
    (0..10).for_each(|_| throttle.on_failure(0, at(ip(200)), Some(Client("client"))));
    (0..40).for_each(|n| throttle.on_failure(90_000, at(ip(n)), Some(Client("client"))));
    assert_eq!(wait_ms(&throttle, 90_000, ip(200), Some(Client("client"))), None);
    assert!(wait_ms(&throttle, 90_000, ip(100), Some(Client("client"))).is_some());
}

#[test]
fn those_without_a_client_id_are_not_one_and_the_same_client() {
    let mut throttle = throttle();
    let nobody = Comer { ip: ip(1), client_id: "" };
    throttle.on_arrival(0, nobody, User("fleet"));
    (0..9).for_each(|_| throttle.on_failure(0, nobody, Some(User("fleet"))));
    assert_eq!(throttle.wait(0, nobody, Some(User("fleet"))), None, "nine of others may be so");
    (0..9).for_each(|_| throttle.on_failure(0, nobody, Some(User("fleet"))));
    let wait = throttle.wait(0, nobody, Some(User("fleet"))).map(|wait| wait.whose);
    assert_eq!(wait, Some(Whose::NameThere), "nor are they believed");
}

#[test]
fn an_address_that_tries_many_users_has_to_wait() {
    let mut throttle = throttle();
    for number in 0..40 {
        throttle.on_failure(0, at(ip(1)), [User(&format!("user{number}"))]);
    }
    assert!(wait_ms(&throttle, 0, ip(1), Some(User("another"))).is_some());
    assert_eq!(wait_ms(&throttle, 0, ip(2), Some(User("another"))), None);
    throttle.on_arrival(0, at(ip(1)), User("fine"));
    assert_eq!(wait_ms(&throttle, 0, ip(1), Some(User("fine"))), None, "it is no guesser");
    assert!(wait_ms(&throttle, 0, ip(1), [User("fine"), User("another")]).is_some(), "but in another name");
}

#[test]
fn a_user_that_is_tried_from_everywhere_has_to_wait_except_where_it_was_let_in() {
    let mut throttle = throttle();
    throttle.on_arrival(0, at(ip(200)), User("alice"));
    throttle.on_failure(0, at(ip(201)), Some(User("alice")));
    throttle.on_arrival(0, at(ip(201)), User("alice"));
    for number in 0..40 {
        throttle.on_failure(0, at(ip(number)), Some(User("alice")));
    }
    assert!(wait_ms(&throttle, 0, ip(100), Some(User("alice"))).is_some());
    assert_eq!(wait_ms(&throttle, 0, ip(200), Some(User("alice"))), None);
    assert_eq!(wait_ms(&throttle, 0, ip(201), Some(User("alice"))), None);
    assert_eq!(wait_ms(&throttle, 0, ip(100), Some(User("bob"))), None);
}

#[test]
fn an_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4() {
    let mut throttle = throttle();
    let six =
        |network: u16, host: u16| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host)));
    for host in 0..40 {
        throttle.on_failure(0, at(six(1, host)), [User(&format!("user{host}"))]);
    }
    assert!(wait_ms(&throttle, 0, six(1, 999), Some(User("x"))).is_some());
    assert_eq!(wait_ms(&throttle, 0, six(2, 1), Some(User("x"))), None);
    for _ in 0..4 {
        throttle.on_failure(0, at(ip(1)), Some(User("mapped")));
    }
    let mapped = Some(IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()));
    assert!(wait_ms(&throttle, 0, mapped, Some(User("mapped"))).is_some());
}

#[test]
fn the_tables_stay_within_their_bound() {
    let mut throttle = Throttle::new(ThrottleLimits { entries_max: 1_000, ..ThrottleLimits::default() });
    for number in 0..20_000u32 {
        let ip = Some(IpAddr::V4(Ipv4Addr::from_bits(number)));
        throttle.on_failure(0, at(ip), [User(&number.to_string())]);
        throttle.on_arrival(0, at(ip), User(&number.to_string()));
    }
    for len in [
        throttle.clients.len(),
        throttle.pairs.len(),
        throttle.known.len(),
        throttle.homes.len(),
        throttle.addresses.len(),
        throttle.users.len(),
    ] {
        assert!(len <= 1_000, "{len}");
    }
}

#[test]
fn an_attempt_in_two_names_counts_for_both_and_once_for_the_address() {
    let mut throttle = throttle();
    for _ in 0..10 {
        throttle.on_failure(0, at(ip(1)), [User("alice"), User("bob")]);
    }
    for user in [User("alice"), User("bob")] {
        assert!(wait_ms(&throttle, 0, ip(1), [user]).is_some());
        // Whoever of the two has to wait longer decides.
        assert!(wait_ms(&throttle, 0, ip(1), [User("carol"), user]).is_some());
    }
    assert_eq!(wait_ms(&throttle, 0, ip(1), [User("carol")]), None);
    for _ in 0..20 {
        throttle.on_failure(0, at(ip(1)), [User("alice"), User("bob")]);
    }
    assert_eq!(wait_ms(&throttle, 0, ip(1), [User("carol")]), None, "30 failures are free");
}

#[test]
fn a_user_and_a_client_of_one_name_do_not_hold_each_other() {
    let mut throttle = throttle();
    for number in 0..40 {
        throttle.on_failure(0, at(ip(number)), Some(Client("ada")));
    }
    assert!(wait_ms(&throttle, 0, ip(100), Some(Client("ada"))).is_some());
    assert_eq!(wait_ms(&throttle, 0, ip(100), Some(User("ada"))), None);
    // Nor does what one was let in by let the other in.
    throttle.on_arrival(0, at(ip(100)), User("ada"));
    assert!(wait_ms(&throttle, 0, ip(100), Some(Client("ada"))).is_some());
}
