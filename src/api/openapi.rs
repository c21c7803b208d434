//! `/v1/openapi.json`: the table of operations, as OpenAPI writes it, with what each takes and answers.

mod table;

use std::collections::BTreeMap;

use axum::{http::Method, response::Response, routing::get};
use serde_json::{Map, Value, json};

use self::table::{DESCRIBED, Described, JSON, Kind, Parameter};
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
        let described = DESCRIBED.iter().find(|row| row.path == operation.path && row.method == method);
        paths.entry(operation.path).or_default().insert(method, of(operation, described));
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("it is a file of this source tree");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "IoTHub",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What may be asked of a broker that runs, and what may be done to it.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

fn of(operation: &Operation, described: Option<&Described>) -> Value {
    let security = match operation.access {
        Access::Open => json!([]),
        Access::Metrics => json!([{}, { "token": [] }]),
        Access::Role(_) => json!([{ "token": [] }]),
    };
    let mut of = json!({ "summary": operation.summary, "security": security, "responses": {} });
    if let Access::Role(role) = operation.access {
        of["description"] = json!(format!("Needs a token with the role {}, or one above it.", role.word()));
    }
    let Some(described) = described else { return of };
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    of["parameters"] = in_path.chain(described.parameters.iter().map(parameter)).collect();
    if let Some(schema) = described.body {
        of["requestBody"] = json!({ "required": true, "content": content(JSON, schema) });
    }
    for (status, schema) in described.answers.iter().chain(common(operation, described)) {
        let kind = if *status < 400 { described.kind } else { JSON };
        of["responses"][status.to_string()] =
            json!({ "description": meaning(*status), "content": content(kind, schema) });
    }
    of
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Range(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Rows => json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "description": parameter.about,
        "schema": schema,
    })
}

fn content(kind: &str, schema: &str) -> Value {
    json!({ kind: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

/// The errors that any operation of its kind may answer with.
fn common(
    operation: &Operation,
    described: &Described,
) -> impl Iterator<Item = &'static (u16, &'static str)> {
    let of_tokens = operation.access != Access::Open;
    let of_bodies = described.body.is_some() || described.method != "get";
    let tokens: &[_] =
        if of_tokens { &[(401, "Problems"), (429, "Problems"), (503, "Problems")] } else { &[] };
    let bodies: &[_] =
        if of_bodies { &[(408, "Problems"), (413, "Problems"), (415, "Problems")] } else { &[] };
    [(403, "Problems")].iter().chain(tokens).chain(bodies)
}

fn meaning(status: u16) -> &'static str {
    match status {
        200 => "Done.",
        201 => "Added.",
        202 => "Begun.",
        400 => "The question is wrong.",
        401 => "There is no token, or it is not known.",
        403 => "Not with this role, or not from this page.",
        404 => "There is none.",
        408 => "The body has not come in time.",
        409 => "It cannot be done as things stand.",
        413 => "The body is too large.",
        415 => "The body does not say that it is JSON.",
        429 => "Too many tokens that are not known.",
        503 => "Not now.",
        _ => "",
    }
}

const SCHEMAS: &str = include_str!("openapi/schemas.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_once_and_nothing_else_is() {
        let mut real: Vec<(String, &str)> =
            operation::all().map(|of| (of.method.as_str().to_ascii_lowercase(), of.path)).collect();
        let mut described: Vec<(String, &str)> =
            DESCRIBED.iter().map(|row| (row.method.to_owned(), row.path)).collect();
        real.sort();
        described.sort();
        assert_eq!(real, described);
    }

    #[test]
    fn every_schema_is_there_and_is_used() {
        let document = document();
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let mut named: Vec<&str> = text
            .split("\"#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(name, _)| name)
            .collect();
        named.sort_unstable();
        named.dedup();
        let mut there: Vec<&str> = schemas.keys().map(String::as_str).collect();
        there.sort_unstable();
        assert_eq!(named, there);
    }

    #[test]
    fn an_operation_says_what_it_takes_and_who_may_ask_it() {
        let document = document();
        let list = &document["paths"]["/v1/clients"]["get"];
        assert_eq!(list["parameters"][2]["name"], "connected");
        assert_eq!(list["security"], json!([{ "token": [] }]));
        let end = &document["paths"]["/v1/clients/{client_id}"]["delete"];
        assert_eq!(end["parameters"][0]["in"], "path");
        assert!(end["description"].as_str().expect("words").contains("operator"));
        assert!(end["responses"]["404"]["description"].is_string());
    }
}
