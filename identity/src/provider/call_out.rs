//! Clients that another program knows: it is asked over HTTP, in JSON.
//!
//! The question is a POST of `{"client_id", "user", "password", "listener", "address", "version", "certificate"}`, where what the
//! client did not bring is null. Status 204 lets the user in, 401 and 403 do not, and 200 says more: `{"result": "allow" |
//! "deny" | "ignore", "user", "groups", "roles", "permissions", "expires_at"}`, of which all but the first may be missing.
//! Everything else is no answer, and nobody is let in for want of one.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::kind::CALL_OUT;
use crate::{
    Ask, Aspects, Identity, Judgement, Provider, Reason,
    http::Http,
    jwt::{is_name, texts_of},
    permissions,
};

#[derive(Debug)]
pub struct CallOut {
    name: String,
    http: Http,
}

impl CallOut {
    pub fn new(http: Http) -> CallOut {
        CallOut { name: format!("call-out {}", http.shown()), http }
    }

    fn identity(&self, ask: &Ask, answer: &Map<String, Value>) -> Option<Identity> {
        let user = match answer.get("user") {
            None | Some(Value::Null) => ask.user.as_deref(),
            Some(user) => Some(user.as_str().filter(|user| is_name(user))?),
        };
        let expires_at_unix_ms = match answer.get("expires_at") {
            None | Some(Value::Null) => None,
            Some(seconds) => Some(seconds.as_u64()?.checked_mul(1000)?),
        };
        Some(Identity {
            user: user.map(Into::into),
            groups: texts_of(answer.get("groups"))?,
            roles: texts_of(answer.get("roles"))?,
            permits: permissions::read("the answer of the program that was asked", answer.get("permissions"))
                .ok()?,
            expires_at_unix_ms,
            provider: self.name.clone().into(),
            kind: CALL_OUT,
        })
    }

    fn understood(&self, ask: &Ask, body: &[u8]) -> Option<Judgement> {
        let answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
        match answer.get("result")?.as_str()? {
            "allow" => self.identity(ask, &answer).map(Judgement::Accept),
            "deny" => Some(denied()),
            "ignore" => Some(Judgement::Pass),
            _ => None,
        }
    }
}

impl Provider for CallOut {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        CALL_OUT
    }

    fn looks_at(&self) -> Aspects {
        Aspects { login: true, client_id: true, certificate: true, address: true, version: true }
    }

    fn is_quick(&self, ask: &Ask) -> bool {
        ask.enhanced.is_some()
    }

    fn judge_at_hand(&self, ask: &Ask, _unix_ms: u64) -> Option<Judgement> {
        ask.enhanced.is_some().then_some(Judgement::Pass)
    }

    fn judge(&self, ask: &Ask, unix_ms: u64) -> Judgement {
        if ask.enhanced.is_some() {
            return Judgement::Pass;
        }
        let Some(question) = question(ask) else {
            return Judgement::reject(
                Reason::BadUserNameOrPassword,
                "the password is no text, as JSON needs it",
            );
        };
        let unavailable = |why: String| Judgement::reject(Reason::ServerUnavailable, why);
        let judgement = match self.http.post_json(&question) {
            Ok((204, _)) => self.identity(ask, &Map::new()).map(Judgement::Accept),
            Ok((401 | 403, _)) => Some(denied()),
            Ok((200, body)) => self.understood(ask, &body),
            Ok((status, _)) => {
                return unavailable(format!("{} answers with status {status}", self.http.shown()));
            }
            Err(error) => return unavailable(error),
        };
        match judgement {
            Some(Judgement::Accept(identity))
                if identity.expires_at_unix_ms.is_some_and(|end| end <= unix_ms) =>
            {
                Judgement::reject(Reason::NotAuthorized, "what was said about the client is over")
            }
            Some(judgement) => judgement,
            None => unavailable(format!("{} answers with what is no judgement", self.http.shown())),
        }
    }
}

fn denied() -> Judgement {
    Judgement::reject(Reason::BadUserNameOrPassword, "the program that was asked says no")
}

fn question(ask: &Ask) -> Option<Zeroizing<Vec<u8>>> {
    let password = match &ask.password {
        Some(password) => Some(std::str::from_utf8(password.expose()).ok()?),
        None => None,
    };
    let certificate = ask.certificate.as_ref().map(|certificate| {
        json!({
            "common_name": certificate.common_name,
            "alternative_names": certificate.alternative_names,
            "fingerprint": certificate.fingerprint_text(),
        })
    });
    // Borrowed as it is written, so that no copy of the password stays in a tree of values.
    let parts: [(&str, Value); 6] = [
        ("client_id", json!(ask.client_id)),
        ("user", json!(ask.user)),
        ("listener", json!(&*ask.listener)),
        ("address", json!(ask.ip())),
        ("version", json!(ask.version)),
        ("certificate", json!(certificate)),
    ];
    let mut text = Zeroizing::new(Vec::with_capacity(1024 + 6 * password.map_or(0, str::len)));
    text.extend_from_slice(b"{");
    for (name, value) in &parts {
        text.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
    }
    text.extend_from_slice(b"\"password\":");
    serde_json::to_writer(&mut *text, &password).expect("a text is written to memory");
    text.extend_from_slice(b"}");
    Some(text)
}

#[cfg(test)]
mod tests;
