//! Random batches, retirements and crashes against the naive account.

use proptest::prelude::*;
use shard::store::{Config, Purpose};

use crate::{
    disk::choices,
    history::{Bodies, CONFIG, History},
};

#[derive(Debug, Clone)]
enum Step {
    Commit(Bodies),
    Retire,
    /// Power is lost during the commit of this batch; the number picks what reached the disk.
    Crash(Bodies, usize),
}

fn body() -> impl Strategy<Value = (usize, bool)> {
    let length = prop_oneof![4 => 0..300_usize, 2 => 3900..4200_usize, 1 => 0..11_985_usize];
    (length, any::<bool>())
}

fn bodies() -> impl Strategy<Value = Bodies> {
    prop_oneof![8 => prop::collection::vec(body(), 0..8), 1 => prop::collection::vec(body(), 20..60)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => bodies().prop_map(Step::Commit),
        3 => Just(Step::Retire),
        1 => (bodies(), any::<usize>()).prop_map(|(bodies, choice)| Step::Crash(bodies, choice)),
    ]
}

fn run(history: &mut History, step: Step) {
    match step {
        Step::Commit(bodies) => {
            let room = history.log.room(Purpose::Add);
            let batch = history.batch(&bodies);
            let bytes = batch.len();
            match history.begin(batch, Purpose::Add) {
                Some(under_way) => history.end(under_way),
                None => assert!(bytes > room || room == 0, "{bytes} bytes have room in {room}"),
            }
        }
        Step::Retire => {
            if history.log.oldest().is_some() {
                history.retire_oldest();
            }
        }
        Step::Crash(bodies, choice) => {
            let batch = history.batch(&bodies);
            let Some(under_way) = history.begin(batch, Purpose::Add) else { return };
            let mut image = history.disk.clone();
            let torn = choice % under_way.writes.len();
            under_way.writes[..torn].iter().flatten().for_each(|block| image.put(block));
            let blocks = &under_way.writes[torn];
            let choices = choices(blocks.len(), &mut history.chance);
            let choice = &choices[choice / 7 % choices.len()];
            blocks
                .iter()
                .zip(choice)
                .filter(|(_, reached)| **reached)
                .for_each(|(block, _)| image.put(block));
            let (recovered, got) = history.judge(&image, Some(&under_way));
            *history = history.resume(&image, recovered, got);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_holds_what_the_account_says(
        steps in prop::collection::vec(step(), 1..40),
        files_max in 5..40_u32,
        seed in any::<u32>(),
    ) {
        let mut history = History::new(Config { files_max, seed: seed.into(), ..CONFIG });
        for step in steps {
            run(&mut history, step);
            if !history.log.is_under_way() {
                history.judge(&history.disk, None);
            }
        }
    }
}
