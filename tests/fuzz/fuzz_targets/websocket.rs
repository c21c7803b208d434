//! Arbitrary bytes as WebSocket frames, at once and cut at the places that the first bytes name: the same comes out.
#![no_main]

use transport::{Close, Side, Socket};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((cuts, stream)) = bytes.split_first_chunk::<4>() else { return };
    for side in [Side::Server, Side::Client] {
        let whole = receive(side, [stream]);
        let mut at = cuts.map(|cut| usize::from(cut).min(stream.len()));
        at.sort_unstable();
        let pieces = [&stream[..at[0]], &stream[at[0]..at[1]], &stream[at[1]..at[2]], &stream[at[2]..at[3]]];
        assert_eq!(receive(side, pieces.into_iter().chain([&stream[at[3]..]])), whole);
        assert_eq!(receive(side, stream.chunks(1)), whole);
        // Nothing is made up: what comes out came in, but for masks and the names of violations.
        assert!(whole.0.len() + whole.1.len() <= 3 * stream.len() + 130);
        // What goes back is good for the other side.
        let other = if side == Side::Server { Side::Client } else { Side::Server };
        let (_, answers, end) = receive(other, [&whole.1[..]]);
        assert!(answers.is_empty() || end.is_some(), "only a close is answered");
        assert!(!matches!(end, Some(Close::Violation { .. })), "{end:?}");
    }
});

fn receive<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u8>, Option<Close>) {
    let mut socket = Socket::new(side);
    let (mut plain, mut replies, mut end) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        if let Err(close) = socket.receive(piece, &mut plain, &mut replies) {
            assert_eq!(end, None, "there is one end");
            end = Some(close);
        }
    }
    (plain, replies, end)
}
