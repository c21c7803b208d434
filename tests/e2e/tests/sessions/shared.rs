//! Shared subscriptions: each message to one member of each group.

use client::QoS;
use e2e::{Broker, Link, v5};

#[test]
fn each_message_goes_to_one_member_and_every_member_has_its_turn() {
    for shards in crate::SHARDS {
        let broker = Broker::start("shared-turns", shards);
        let ids =
            [broker.ids_by_home(shards, "worker"), vec!["extra-1".to_owned(), "extra-2".to_owned()]].concat();
        let mut members: Vec<Link> = ids.iter().map(|id| Link::connect(broker.port, v5(id))).collect();
        for member in &mut members {
            member.subscribe("$share/workers/jobs/#", QoS::AtLeastOnce);
        }
        // Another filter is another group, whatever its name.
        let mut other = Link::connect(broker.port, v5("other"));
        other.subscribe("$share/workers/jobs/+", QoS::AtLeastOnce);

        let mut publisher = Link::connect(broker.port, v5("publisher"));
        for number in 0..JOBS {
            publisher.publish("jobs/next", number.to_string(), QoS::AtLeastOnce);
        }
        for number in 0..JOBS {
            assert_eq!(other.text(), number.to_string());
        }

        let mut done: Vec<usize> = Vec::new();
        for member in &mut members {
            member.subscribe("end", QoS::AtMostOnce);
        }
        publisher.publish("end", "", QoS::AtMostOnce);
        for (id, member) in ids.iter().zip(&mut members) {
            let before = done.len();
            loop {
                let message = member.message();
                if message.topic == "end" {
                    break;
                }
                done.push(String::from_utf8(message.payload).unwrap().parse().unwrap());
            }
            let share = done.len() - before;
            assert!(share * members_min_share(ids.len()) >= JOBS, "{id} got {share} of {JOBS}");
        }
        done.sort_unstable();
        assert_eq!(done, (0..JOBS).collect::<Vec<_>>(), "every job once");
    }
}

#[test]
fn a_member_that_leaves_leaves_its_share_to_the_others() {
    for shards in crate::SHARDS {
        let broker = Broker::start("shared-leaving", shards);
        let mut staying = Link::connect(broker.port, v5("staying"));
        let mut leaving: Vec<Link> =
            (0..4).map(|number| Link::connect(broker.port, v5(&format!("leaving-{number}")))).collect();
        for member in leaving.iter_mut().chain([&mut staying]) {
            member.subscribe("$share/group/topic", QoS::AtLeastOnce);
        }
        leaving.into_iter().for_each(Link::close);

        let mut publisher = Link::connect(broker.port, v5("publisher"));
        // The last of them is known to be gone once its connection is counted.
        broker.await_counter("connections_closed", 4);
        for number in 0..100 {
            publisher.publish("topic", number.to_string(), QoS::AtLeastOnce);
            assert_eq!(staying.text(), number.to_string());
        }
    }
}

/// A member has at least a tenth of what would be an even share.
fn members_min_share(members: usize) -> usize {
    members * 10
}

const JOBS: usize = 600;
