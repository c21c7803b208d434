//! What each operation takes and answers, by the names of `schemas.json`.

use crate::api::{PREFIXES_BY, TOP_BY};

/// Of one method at one path.
pub struct Described {
    /// As OpenAPI writes it, in small letters.
    pub method: &'static str,
    pub path: &'static str,
    pub parameters: &'static [Parameter],
    /// A schema.
    pub body: Option<&'static str>,
    /// The schema of each status that is not an error of every operation.
    pub answers: &'static [(u16, &'static str)],
    /// What an answer is when all went well; errors are JSON always.
    pub kind: &'static str,
}

/// Something behind the question mark.
pub struct Parameter {
    pub name: &'static str,
    pub is_required: bool,
    pub kind: Kind,
    pub about: &'static str,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Flag,
    /// The number of rows of a page.
    Rows,
    /// A number between these, both included.
    Range(u64, u64),
    /// One of these.
    Word(&'static [&'static str]),
}

const fn parameter(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, is_required: false, kind, about }
}

const fn required(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, is_required: true, kind: Kind::Text, about }
}

const fn look(
    path: &'static str,
    parameters: &'static [Parameter],
    answers: &'static [(u16, &'static str)],
) -> Described {
    Described { method: "get", path, parameters, body: None, answers, kind: JSON }
}

const fn act(
    method: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    answers: &'static [(u16, &'static str)],
) -> Described {
    Described { method, path, parameters: &[], body, answers, kind: JSON }
}

const LIMIT: Parameter = parameter("limit", Kind::Rows, "Rows of the page.");
const CURSOR: Parameter = parameter("cursor", Kind::Text, "Where the page before has ended.");
const FILTER_PART: Parameter = parameter("filter", Kind::Text, "Stands somewhere in the topic filter.");
const PREFIX_PART: Parameter =
    parameter("prefix", Kind::Text, "Stands somewhere in the first levels of the topics.");
const LOSSES_BY: Parameter = parameter(
    "by",
    Kind::Word(&LOSSES_BY_WORDS),
    "count: those with the most losses first, as without it. name: sorted by client id or prefix, so that all pages together have each row \
     once while counts go on.",
);
const LOSSES_BY_WORDS: [&str; 2] = ["count", "name"];
const CLIENT_PART: Parameter = parameter("client_id", Kind::Text, "Stands somewhere in the client id.");

pub const JSON: &str = "application/json";

const PROBLEMS: &str = "Problems";

/// Each operation once.
pub const DESCRIBED: &[Described] = &[
    look("/livez", &[], &[(200, "Live")]),
    look("/readyz", &[], &[(200, "Ready"), (503, PROBLEMS)]),
    Described { kind: "text/plain", ..look("/metrics", &[], &[(200, "Text")]) },
    look("/v1/openapi.json", &[], &[(200, "Document")]),
    look("/v1/broker", &[], &[(200, "Broker")]),
    look("/v1/caller", &[], &[(200, "Caller")]),
    // Events, each with a `LogLine`.
    Described { kind: "text/event-stream", ..look("/v1/log", &[], &[(200, "LogLine")]) },
    // Events, each with an `Event`.
    Described {
        kind: "text/event-stream",
        ..look(
            "/v1/events",
            &[
                parameter("kind", Kind::Text, "Kinds of events with commas in between; all without it."),
                parameter("client_id", Kind::Text, "The whole client id."),
                parameter("user", Kind::Text, "The whole name of the user."),
                parameter("address", Kind::Text, "The IP address of the client."),
                parameter("topic", Kind::Text, "A topic filter that matches the topic of the event."),
            ],
            &[(200, "Event"), (400, PROBLEMS)],
        )
    },
    look("/v1/shards", &[], &[(200, "Shards")]),
    look(
        "/v1/clients",
        &[
            CLIENT_PART,
            parameter(
                "user",
                Kind::Text,
                "The whole name of the user. Clients that are away are found as far as it is remembered as whom they were here last.",
            ),
            parameter("connected", Kind::Flag, "Whether the client is connected."),
            CURSOR,
            LIMIT,
        ],
        &[(200, "Clients"), (400, PROBLEMS)],
    ),
    look(
        "/v1/clients/{client_id}/packets",
        &[parameter(
            "topic",
            Kind::Text,
            "A topic filter: messages that match, subscriptions that concern it, and no other packets.",
        )],
        &[(200, "Packets"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    Described {
        kind: "application/x-ndjson",
        ..look(
            "/v1/trace",
            &[
                parameter("client_id", Kind::Text, "The whole client id."),
                parameter(
                    "topic",
                    Kind::Text,
                    "A topic filter: messages that match, subscriptions that concern it, and no other packets.",
                ),
                parameter("address", Kind::Text, "The IP address of clients."),
                parameter("bytes", Kind::Flag, "The packets themselves as well, in base64."),
            ],
            &[(200, "TraceLine"), (400, PROBLEMS)],
        )
    },
    Described {
        kind: "application/x-ndjson",
        ..look(
            "/v1/published",
            &[parameter(
                "topic",
                Kind::Text,
                "A topic filter: messages on topics that match, and no others.",
            )],
            &[(200, "PublishedLine"), (400, PROBLEMS)],
        )
    },
    look(
        "/v1/why",
        &[
            required("client_id", "Who is to get the message."),
            required("topic", "The whole name of the topic."),
            parameter("publisher", Kind::Text, "The client id of who publishes it."),
            parameter("qos", Kind::Range(0, 2), "The QoS of the message."),
            parameter("retain", Kind::Flag, "It has the retain flag."),
            parameter("payload_bytes", Kind::Range(0, 268_435_455), "The length of its payload."),
        ],
        &[(200, "Why"), (400, PROBLEMS)],
    ),
    look("/v1/drops", &[CLIENT_PART, LOSSES_BY, CURSOR, LIMIT], &[(200, "Drops"), (400, PROBLEMS)]),
    look(
        "/v1/drops/topics",
        &[PREFIX_PART, LOSSES_BY, CURSOR, LIMIT],
        &[(200, "DropsByTopic"), (400, PROBLEMS)],
    ),
    look("/v1/drops/causes", &[], &[(200, "DropsByCause")]),
    look("/v1/drops/others", &[], &[(200, "OtherDrops")]),
    look(
        "/v1/top",
        &[
            Parameter { is_required: true, ..parameter("by", Kind::Word(&TOP_BY), "What is compared.") },
            parameter("over_s", Kind::Range(1, 5), "Traffic within so many seconds; for bytes and packets."),
            LIMIT,
        ],
        &[(200, "Top"), (400, PROBLEMS)],
    ),
    look(
        "/v1/prefixes",
        &[parameter("by", Kind::Word(&PREFIXES_BY), "What is compared; topics without it."), LIMIT],
        &[(200, "Prefixes"), (400, PROBLEMS)],
    ),
    look("/v1/clients/{client_id}", &[LIMIT], &[(200, "ClientWhole"), (400, PROBLEMS), (404, PROBLEMS)]),
    look(
        "/v1/clients/{client_id}/queue",
        &[CURSOR, LIMIT],
        &[(200, "Queue"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    look(
        "/v1/queues",
        &[
            CLIENT_PART,
            parameter(
                "least",
                Kind::Range(0, u32::MAX as u64),
                "So many messages wait at least; 1 without it.",
            ),
            CURSOR,
            LIMIT,
        ],
        &[(200, "Queues"), (400, PROBLEMS)],
    ),
    act("post", "/v1/client", Some("NamedClient"), &[(200, "ClientWhole"), (400, PROBLEMS), (404, PROBLEMS)]),
    act("post", "/v1/client/queue", Some("NamedQueue"), &[(200, "Queue"), (400, PROBLEMS), (404, PROBLEMS)]),
    act(
        "post",
        "/v1/client/packets",
        Some("NamedPackets"),
        &[(200, "Packets"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    act(
        "post",
        "/v1/client/disconnect",
        Some("Named"),
        &[(200, "Disconnected"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    act("post", "/v1/client/kick", Some("Named"), &[(200, "Ended"), (400, PROBLEMS), (404, PROBLEMS)]),
    act("post", "/v1/client/purge", Some("Named"), &[(200, "Dropped"), (400, PROBLEMS), (404, PROBLEMS)]),
    act("post", "/v1/drops", Some("DropsAsked"), &[(200, "Drops"), (400, PROBLEMS)]),
    act("post", "/v1/why", Some("WhyAsked"), &[(200, "Why"), (400, PROBLEMS)]),
    act(
        "post",
        "/v1/clients/{client_id}/disconnect",
        Some("Nothing"),
        &[(200, "Disconnected"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    act("delete", "/v1/clients/{client_id}", None, &[(200, "Ended"), (400, PROBLEMS), (404, PROBLEMS)]),
    act(
        "delete",
        "/v1/clients/{client_id}/queue",
        None,
        &[(200, "Dropped"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    look(
        "/v1/subscriptions",
        &[FILTER_PART, CLIENT_PART, CURSOR, LIMIT],
        &[(200, "Subscriptions"), (400, PROBLEMS)],
    ),
    look(
        "/v1/retained",
        &[parameter("filter", Kind::Text, "A topic filter; # without it."), CURSOR, LIMIT],
        &[(200, "RetainedList"), (400, PROBLEMS)],
    ),
    look(
        "/v1/retained/one",
        &[required("topic", "The topic.")],
        &[(200, "RetainedWhole"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    Described {
        parameters: &[required("filter", "A topic filter.")],
        ..act("delete", "/v1/retained", None, &[(200, "Dropped"), (400, PROBLEMS)])
    },
    act("post", "/v1/retained", Some("RetainedAsked"), &[(200, "RetainedList"), (400, PROBLEMS)]),
    act(
        "post",
        "/v1/retained/one",
        Some("OfTopic"),
        &[(200, "RetainedWhole"), (400, PROBLEMS), (404, PROBLEMS)],
    ),
    act("post", "/v1/retained/drop", Some("OfFilter"), &[(200, "Dropped"), (400, PROBLEMS)]),
    act("post", "/v1/publish", Some("Publication"), &[(200, "Published"), (400, PROBLEMS)]),
    look(
        "/v1/users",
        &[parameter("user", Kind::Text, "Stands somewhere in the name of the user."), CURSOR, LIMIT],
        &[(200, "Users"), (400, PROBLEMS), (409, PROBLEMS)],
    ),
    act("post", "/v1/users", Some("UserToAdd"), &[(201, "ChangedUser"), (400, PROBLEMS), (409, PROBLEMS)]),
    look("/v1/users/{user}", &[], &[(200, "User"), (400, PROBLEMS), (404, PROBLEMS), (409, PROBLEMS)]),
    act(
        "patch",
        "/v1/users/{user}",
        Some("UserToChange"),
        &[(200, "ChangedUser"), (400, PROBLEMS), (404, PROBLEMS), (409, PROBLEMS)],
    ),
    act(
        "delete",
        "/v1/users/{user}",
        None,
        &[(200, "Deleted"), (400, PROBLEMS), (404, PROBLEMS), (409, PROBLEMS)],
    ),
    look(
        "/v1/roles",
        &[parameter("role", Kind::Text, "Stands somewhere in the name of the role."), CURSOR, LIMIT],
        &[(200, "Roles"), (400, PROBLEMS)],
    ),
    look("/v1/reload", &[], &[(200, "Reload"), (409, PROBLEMS)]),
    act("post", "/v1/reload", Some("Meant"), &[(200, "Reload"), (400, PROBLEMS), (409, PROBLEMS)]),
    look(
        "/v1/bans",
        &[
            parameter(
                "kind",
                Kind::Word(&["client_id", "user", "address"]),
                "What is banned; all without it.",
            ),
            parameter("name", Kind::Text, "Stands somewhere in whom it bans."),
            CURSOR,
            LIMIT,
        ],
        &[(200, "Bans"), (400, PROBLEMS)],
    ),
    act("post", "/v1/bans", Some("Ban"), &[(200, "Bans"), (400, PROBLEMS), (409, PROBLEMS)]),
    act("delete", "/v1/bans", Some("Ban"), &[(200, "LiftedBan"), (400, PROBLEMS), (409, PROBLEMS)]),
    look("/v1/backup", &[], &[(200, "Backups"), (409, PROBLEMS)]),
    act("post", "/v1/backup", Some("Nothing"), &[(202, "BackupBegun"), (400, PROBLEMS), (409, PROBLEMS)]),
    act("post", "/v1/drain", Some("Nothing"), &[(202, "Draining"), (400, PROBLEMS)]),
];
