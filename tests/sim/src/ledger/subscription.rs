//! What is known of one subscription over time: since when it can exist, since when it must. Routing is not done here.

use mqtt::SubscriptionOptions;

/// One filter of one session from its SUBSCRIBE to its end. Steps are counted through the whole run.
#[derive(Debug)]
pub struct Subscription {
    pub filter: String,
    /// The filter without `$share/group/`.
    pub plain: String,
    pub is_shared: bool,
    pub may_from: u64,
    pub must_from: u64,
    pub must_until: u64,
    pub may_until: u64,
    /// A SUBSCRIBE to the same filter changes the options of the same subscription.
    pub variants: Vec<Variant>,
}

#[derive(Debug, Clone)]
pub struct Variant {
    pub options: SubscriptionOptions,
    pub subscription_id: Option<u32>,
    pub may_from: u64,
    pub may_until: u64,
}

/// One filter of a SUBSCRIBE: what it owes of retained messages.
#[derive(Debug)]
pub struct SubscribeRecord {
    pub session: usize,
    pub subscription: usize,
    pub variant: usize,
    pub socket: usize,
    pub step: u64,
    pub acked: Option<u64>,
    /// The subscription did not exist before; none: nobody can tell.
    pub is_new: Option<bool>,
}

impl Subscription {
    pub fn new(filter: &str, step: u64) -> Subscription {
        let shared = mqtt::shared_filter(filter).ok().flatten();
        Subscription {
            filter: filter.to_owned(),
            plain: shared.map_or(filter, |shared| shared.filter).to_owned(),
            is_shared: shared.is_some(),
            may_from: step,
            must_from: u64::MAX,
            must_until: u64::MAX,
            may_until: u64::MAX,
            variants: Vec::new(),
        }
    }

    /// It can have existed at some step from `from` to `to`.
    pub fn may(&self, from: u64, to: u64) -> bool {
        self.may_from <= to && self.may_until >= from
    }

    /// It existed all the time from `from` to `to`.
    pub fn must(&self, from: u64, to: u64) -> bool {
        self.must_from <= from && self.must_until >= to
    }

    pub fn end(&mut self, step: u64) {
        self.must_until = self.must_until.min(step);
        self.may_until = self.may_until.min(step);
    }

    /// The options that can have been in force at some step from `from` to `to`.
    pub fn variants(&self, from: u64, to: u64) -> impl Iterator<Item = &Variant> {
        self.variants.iter().filter(move |variant| variant.may_from <= to && variant.may_until >= from)
    }

    pub fn is_open(&self) -> bool {
        self.may_until == u64::MAX && self.must_until == u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_request_and_answer_a_subscription_may_exist_and_need_not() {
        let mut subscription = Subscription::new("$share/g/a/#", 10);
        assert!(subscription.is_shared);
        assert_eq!(subscription.plain, "a/#");
        assert!(subscription.may(12, 12) && !subscription.must(12, 12) && !subscription.may(5, 9));
        subscription.must_from = 15;
        assert!(subscription.must(15, 20) && !subscription.must(14, 20));
        subscription.must_until = 30;
        assert!(subscription.may(40, 41) && !subscription.must(20, 31));
        subscription.end(33);
        assert!(!subscription.may(40, 41));
    }
}
