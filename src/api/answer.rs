//! The shapes of bodies: what is read of a question, and how answers and problems look.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

/// The body, as JSON. Nothing at all stands for an object without anything.
pub struct Input<T>(pub T);

/// An object without anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What stands in the path.
pub struct InPath(pub String);

/// A client id in the path. Those of which nobody can be sure there are refused, so that nothing happens to another client.
pub struct ClientInPath(pub String);

/// The name of a user in the path, likewise.
pub struct UserInPath(pub String);

/// What stands behind the question mark.
pub struct Parameters<T>(pub T);

/// Whether it is the body of a question that is waited for just now.
#[derive(Debug, Clone, Default)]
pub struct BodyWait(Arc<AtomicBool>);

impl BodyWait {
    pub fn goes_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    async fn during<T>(&self, read: impl Future<Output = T>) -> T {
        self.0.store(true, Ordering::Relaxed);
        let body = read.await;
        self.0.store(false, Ordering::Relaxed);
        body
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Input<T>, Response> {
        let wait = request.extensions().get::<BodyWait>().cloned().unwrap_or_default();
        let body = wait
            .during(Bytes::from_request(request, state))
            .await
            .map_err(|rejection| problem(rejection.status(), &format!("the body: {rejection}")))?;
        let text: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
        serde_json::from_slice(text).map(Input).map_err(|error| refused(&format!("the body: {error}")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath, Response> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| InPath(name)).map_err(|rejection| refused(&rejection.body_text()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientInPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ClientInPath, Response> {
        let InPath(client_id) = InPath::from_request_parts(parts, state).await?;
        match UNSURE_IN_PATH.contains(&client_id.as_str()) {
            false => Ok(ClientInPath(client_id)),
            true => Err(refused(&format!(
                "{client_id:?} stands in a path where another client may be meant: programs on the way leave out \
                 segments such as . and .. Ask at /v1/client, with the client id in the body"
            ))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserInPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<UserInPath, Response> {
        let InPath(user) = InPath::from_request_parts(parts, state).await?;
        check_path_of(&user).map_err(|why| refused(&why))?;
        Ok(UserInPath(user))
    }
}

/// Whether everybody can ask for this user by a path. The error is a sentence.
pub fn check_path_of(user: &str) -> Result<(), String> {
    if DOTS.contains(&user) || user.len() > USER_BYTES_MAX {
        return Err(format!(
            "user: the API has no users with the names . and .. nor with more than {USER_BYTES_MAX} bytes, because no path \
             can name them for certain: `iothub user` adds, changes and deletes them"
        ));
    }
    Ok(())
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Parameters<T>, Response> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Parameters(value)).map_err(|rejection| refused(&rejection.body_text()))
    }
}

pub fn ok(body: &impl Serialize) -> Response {
    respond(StatusCode::OK, body)
}

pub fn respond(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("what is answered has text for its keys");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// One sentence that says what is wrong and what to do.
pub fn problem(status: StatusCode, why: &str) -> Response {
    respond(status, &json!({ "problems": [why] }))
}

/// The question itself is wrong.
pub fn refused(why: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, why)
}

pub fn not_found(why: &str) -> Response {
    problem(StatusCode::NOT_FOUND, why)
}

/// With the commands that say or do more.
pub fn absent(why: &str, commands: &[String]) -> Response {
    respond(StatusCode::NOT_FOUND, &json!({ "problems": [why], "commands": commands }))
}

pub fn wrong_method(why: &str) -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, why)
}

pub fn too_large(why: &str) -> Response {
    problem(StatusCode::PAYLOAD_TOO_LARGE, why)
}

/// It could not be done, as things stand.
pub fn conflict(why: &str) -> Response {
    problem(StatusCode::CONFLICT, why)
}

/// Another time it may work.
pub fn unavailable(why: &str) -> Response {
    respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "outcome": "unavailable", "problems": [why] }))
}

/// The body did not come. The rest of it may come yet, so that no other question can follow.
pub fn late() -> Response {
    let why = "the body has not come within the time for an answer: nothing is done. Send all of it, as long as Content-Length says";
    let mut response = problem(StatusCode::REQUEST_TIMEOUT, why);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// In a moment it will work.
pub fn held_back(why: &str) -> Response {
    let mut response = unavailable(why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
    response
}

/// Of somebody without a token that is known.
pub fn unauthorized(why: &str) -> Response {
    let mut response = problem(StatusCode::UNAUTHORIZED, why);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Of somebody who has to wait.
pub fn too_many(why: &str, wait_s: u64) -> Response {
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    response
}

/// What programs on the way leave out of paths.
const DOTS: [&str; 2] = [".", ".."];

/// Of a user, in a path that writes three for each.
const USER_BYTES_MAX: usize = 1024;

/// What is left out of paths, and what then stands at the place of a client id: whatever may follow one.
pub const UNSURE_IN_PATH: [&str; 5] = [".", "..", "disconnect", "packets", "queue"];
