//! The table of everything that the API can be asked, and the router that is made of it.

use axum::{
    Router, extract::DefaultBodyLimit, http::Method, middleware, response::Response, routing::MethodRouter,
};
use tokio::runtime::Handle;

use super::{
    RELOAD, answer, backup, bans, broker, caller, clients, context::Context, drain, drops, events, guard,
    guard::Guard, health, log, metrics, named, openapi, prefixes, publish, published, queues, reload,
    retained, shards, subscriptions, token_list::Role, top, trace, ui, users, why,
};

/// One method at one path.
pub struct Operation {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    /// What it does, in a line.
    pub summary: &'static str,
    pub handler: fn() -> MethodRouter<Context>,
}

/// Who may ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever gets there.
    Open,
    /// As `api.metrics` says.
    Metrics,
    /// Who has a token with this role or one above it.
    Role(Role),
}

impl Operation {
    /// It changes nothing, and may take its time. A plan of a reload is an order to the control thread as a reload is.
    fn is_question(&self) -> bool {
        match self.access {
            Access::Open => false,
            Access::Metrics | Access::Role(Role::Viewer) => true,
            Access::Role(_) => self.method == Method::GET && self.path != RELOAD,
        }
    }
}

/// Those of all files.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    let files = [
        health::OPERATIONS,
        metrics::OPERATIONS,
        openapi::OPERATIONS,
        broker::OPERATIONS,
        caller::OPERATIONS,
        log::OPERATIONS,
        events::OPERATIONS,
        shards::OPERATIONS,
        clients::OPERATIONS,
        named::OPERATIONS,
        queues::OPERATIONS,
        trace::OPERATIONS,
        published::OPERATIONS,
        why::OPERATIONS,
        drops::OPERATIONS,
        top::OPERATIONS,
        prefixes::OPERATIONS,
        subscriptions::OPERATIONS,
        retained::OPERATIONS,
        publish::OPERATIONS,
        users::OPERATIONS,
        reload::OPERATIONS,
        bans::OPERATIONS,
        backup::OPERATIONS,
        drain::OPERATIONS,
    ];
    files.into_iter().flatten()
}

/// Questions are carried out on a thread of their own, so that they hold up neither connections nor orders nor those who only look
/// whether the broker lives.
pub fn router(context: &Context, questions: &Handle) -> Router {
    let mut router = Router::new();
    for operation in all() {
        let beside = operation.is_question().then(|| questions.clone());
        let guard = Guard { context: context.clone(), access: operation.access, beside };
        let admit = middleware::from_fn_with_state(guard, guard::admit);
        router = router.route(operation.path, (operation.handler)().route_layer(admit));
    }
    router
        .merge(ui::router())
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(context.clone(), guard::check_page))
        .layer(middleware::from_fn(guard::check_head))
        .with_state(context.clone())
}

async fn absent() -> Response {
    answer::not_found("there is nothing at this path: docs/api.md lists what there is")
}

async fn wrong_method() -> Response {
    answer::wrong_method("this path has no such method: docs/api.md lists those that it has")
}

/// For a topic and another one as its cursor, as long as MQTT has them and each byte of them escaped by six. An operation that takes more
/// says so itself.
const BODY_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_follows_a_client_id_in_a_path_is_taken_for_none() {
        let mut behind: Vec<&str> =
            all().filter_map(|operation| operation.path.strip_prefix("/v1/clients/{client_id}/")).collect();
        behind.sort_unstable();
        behind.dedup();
        assert_eq!(behind, answer::UNSURE_IN_PATH[2..]);
    }
}
