//! The counter of each rate: how often somebody had to wait for it, or was disconnected because of it.

use crate::{Counters, meters::Whose, rates::Flow};

/// A rate of a role counts with those of clients, in whose place it stands.
pub(crate) fn waited_mut(counters: &mut Counters, whose: Whose, flow: Flow) -> &mut u64 {
    let of_flows = match whose {
        Whose::Client => [
            &mut counters.waited_client_publish_messages,
            &mut counters.waited_client_publish_bytes,
            &mut counters.waited_client_receive_messages,
            &mut counters.waited_client_receive_bytes,
        ],
        Whose::User => [
            &mut counters.waited_user_publish_messages,
            &mut counters.waited_user_publish_bytes,
            &mut counters.waited_user_receive_messages,
            &mut counters.waited_user_receive_bytes,
        ],
        Whose::Address => [
            &mut counters.waited_address_publish_messages,
            &mut counters.waited_address_publish_bytes,
            &mut counters.waited_address_receive_messages,
            &mut counters.waited_address_receive_bytes,
        ],
        Whose::Listener => [
            &mut counters.waited_listener_publish_messages,
            &mut counters.waited_listener_publish_bytes,
            &mut counters.waited_listener_receive_messages,
            &mut counters.waited_listener_receive_bytes,
        ],
    };
    of(flow, of_flows)
}

/// None: nobody is disconnected because of it. Who gets too much waits, and a listener is nobody's.
pub(crate) fn ended_mut(counters: &mut Counters, whose: Whose, flow: Flow) -> Option<&mut u64> {
    Some(match (whose, flow) {
        (Whose::Client, Flow::PublishMessages) => &mut counters.ended_client_publish_messages,
        (Whose::Client, Flow::PublishBytes) => &mut counters.ended_client_publish_bytes,
        (Whose::User, Flow::PublishMessages) => &mut counters.ended_user_publish_messages,
        (Whose::User, Flow::PublishBytes) => &mut counters.ended_user_publish_bytes,
        (Whose::Address, Flow::PublishMessages) => &mut counters.ended_address_publish_messages,
        (Whose::Address, Flow::PublishBytes) => &mut counters.ended_address_publish_bytes,
        (Whose::Listener, _) | (_, Flow::ReceiveMessages | Flow::ReceiveBytes) => return None,
    })
}

fn of<T>(flow: Flow, of_flows: [T; 4]) -> T {
    let [publish_messages, publish_bytes, receive_messages, receive_bytes] = of_flows;
    match flow {
        Flow::PublishMessages => publish_messages,
        Flow::PublishBytes => publish_bytes,
        Flow::ReceiveMessages => receive_messages,
        Flow::ReceiveBytes => receive_bytes,
    }
}
