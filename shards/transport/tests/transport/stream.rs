//! Streams of random frames that arrive in random pieces come out the same as at once.

use proptest::prelude::*;
use transport::{Side, Socket};

use crate::websocket::{Outcome, masked, receive};

/// Frames as clients write them, and sometimes what nobody may write.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 120..140),
        1 => prop::collection::vec(any::<u8>(), 65_530..65_540),
    ];
    let short = prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        6 => payload.clone().prop_map(|payload| masked(0x82, &payload)),
        2 => payload.clone().prop_map(|payload| [masked(0x02, &payload), masked(0x80, &payload)].concat()),
        2 => short.prop_map(|payload| masked(0x89, &payload)),
        1 => payload.prop_map(|payload| [masked(0x02, &payload), masked(0x8A, b""), masked(0x80, b"x")].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => Just(masked(0x88, &1000u16.to_be_bytes())),
    ]
}

/// The frames one after the other, and where the stream is cut.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    let frames = prop::collection::vec(frame(), 1..6).prop_map(|frames| frames.concat());
    frames.prop_flat_map(|stream| {
        let cuts = prop::collection::vec(0..=stream.len(), 0..12);
        (Just(stream), cuts)
    })
}

fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts = [&[0], cuts, &[stream.len()]].concat();
    cuts.sort_unstable();
    cuts.windows(2).map(|two| &stream[two[0]..two[1]]).collect()
}

proptest! {
    #[test]
    fn pieces_make_no_difference((stream, cuts) in stream()) {
        for side in [Side::Server, Side::Client] {
            prop_assert_eq!(receive(side, pieces(&stream, &cuts)), receive(side, [&stream[..]]));
        }
    }

    #[test]
    fn every_prefix_is_the_beginning_of_the_whole((stream, cuts) in stream()) {
        let whole = receive(Side::Server, [&stream[..]]);
        for cut in cuts {
            let part = receive(Side::Server, [&stream[..cut]]);
            prop_assert!(whole.plain.starts_with(&part.plain));
            prop_assert!(whole.replies.starts_with(&part.replies));
        }
    }

    #[test]
    fn what_is_masked_comes_back(payload: Vec<u8>, key: [u8; 4], cuts: [u16; 3]) {
        let mut stream = Vec::new();
        Socket::put_masked(&payload, key, &mut stream);
        let cuts = cuts.map(|cut| usize::from(cut) % (stream.len() + 1));
        let expected = Outcome { plain: payload, ..Outcome::default() };
        prop_assert_eq!(receive(Side::Server, pieces(&stream, &cuts)), expected);
    }
}
