//! `/v1/openapi.json`: the table of operations, as OpenAPI writes it.

use std::collections::BTreeMap;

use axum::{http::Method, response::Response, routing::get};
use serde_json::{Map, Value, json};

use super::{
    answer,
    operation::{self, Access, Operation},
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: "/v1/openapi.json",
    access: Access::Open,
    summary: "This description",
    handler: || get(|| async { description() }),
}];

fn description() -> Response {
    answer::ok(&document())
}

fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operation::all() {
        let method = operation.method.as_str().to_ascii_lowercase();
        paths.entry(operation.path).or_default().insert(method, of(operation));
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "IoTHub", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } } },
    })
}

fn of(operation: &Operation) -> Value {
    let security = match operation.access {
        Access::Open => json!([]),
        Access::Metrics => json!([{}, { "token": [] }]),
        Access::Role(_) => json!([{ "token": [] }]),
    };
    let mut described = json!({ "summary": operation.summary, "security": security, "responses": {} });
    if let Access::Role(role) = operation.access {
        described["description"] = json!(format!("Needs the role {}.", role.word()));
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_once() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let described: usize = paths.values().map(|path| path.as_object().map_or(0, Map::len)).sum();
        assert_eq!(described, operation::all().count());
        assert_eq!(paths["/v1/bans"]["post"]["description"], "Needs the role operator.");
    }
}
