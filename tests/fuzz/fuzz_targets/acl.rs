//! Any bytes as a file of rules, in both formats, and then any topic for any client: nothing panics, and what a holder says is the same
//! when it is asked again.
#![no_main]

use access::{Action, Ask, Fallback, Profiles, Rules, Who};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str, Option<&str>)| {
    let (text, topic, client_id, user) = input;
    let layers = [access::mosquitto::parse("acl", text), access::own::parse("rules", text)];
    for layer in layers.into_iter().flatten() {
        let rules = Rules::builder(Fallback::Allow).layer(layer).build();
        let who = Who { client_id, user, certificate_names: &[client_id], is_authenticated: true, ..Who::default() };
        let (holder, shared) = (rules.holder(&who), Profiles::new(&rules).holder(&who));
        for action in Action::ALL {
            let ask = Ask { qos: 1, retain: true, ..Ask::new(action, topic) };
            let verdict = holder.check(&ask);
            assert_eq!(verdict, shared.check(&ask));
            assert!(!holder.explain(&verdict).to_string().is_empty());
        }
    }
});
