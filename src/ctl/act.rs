//! What `iothub ctl` does to the broker.

use std::{
    io::{self, Read as _},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Shown, list,
    target::{Target, encoded},
};
use crate::{
    api::{BACKUP, BANS},
    ban::{self, BanningArgs, WhomArgs},
    bans::BanText,
    passwd,
};

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The topic
    #[arg(short, long)]
    topic: String,
    /// The payload; without it standard input is read to its end
    #[arg(short, long, allow_hyphen_values = true)]
    message: Option<String>,
    /// 0, 1 or 2
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Keep it for those who subscribe later
    #[arg(short, long)]
    retain: bool,
    /// Seconds until it is worth nothing any more
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<u32>,
}

#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user; the password is asked for, or read from standard input
    Add(SaidArgs),
    /// Change a user: what is not named stays
    Set(SetArgs),
    /// Delete a user
    Delete(WhichArgs),
    /// Show a user, without anything that is secret
    Show(WhichArgs),
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The user
    #[arg(value_name = "USER")]
    user: String,
}

#[derive(Debug, Args)]
struct SaidArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Be in this group, and in those of further --group; an empty one stands for none
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Have this role, and those of further --role; an empty one stands for none
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Keep keys for SCRAM as well
    #[arg(long)]
    scram: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    #[command(flatten)]
    said: SaidArgs,
    /// Ask for another password
    #[arg(short, long)]
    password: bool,
    /// Let the user in
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Do not let the user in
    #[arg(long)]
    disable: bool,
}

pub fn disconnect(target: &Target<'_>, client_id: &str) -> Result<Shown, Failure> {
    let answer = target.ask("POST", "/v1/client/disconnect", Some(json!({ "client_id": client_id })))?;
    told(answer, |_| format!("{client_id} is disconnected"))
}

pub fn kick(target: &Target<'_>, client_id: &str) -> Result<Shown, Failure> {
    let answer = target.ask("POST", "/v1/client/kick", Some(json!({ "client_id": client_id })))?;
    told(answer, |_| format!("the session of {client_id} is ended"))
}

/// What a broker drops for one question is bounded: it is asked until nothing is left.
pub fn purge(target: &Target<'_>, client_id: &str) -> Result<Shown, Failure> {
    drop_all(|| target.ask("POST", "/v1/client/purge", Some(json!({ "client_id": client_id }))))
}

pub fn drop_retained(target: &Target<'_>, filter: &str) -> Result<Shown, Failure> {
    drop_all(|| target.ask("POST", "/v1/retained/drop", Some(json!({ "filter": filter }))))
}

fn drop_all(drop_some: impl Fn() -> Result<Value, Failure>) -> Result<Shown, Failure> {
    let mut dropped = 0;
    loop {
        let answer = drop_some()?;
        dropped += answer["dropped"].as_u64().unwrap_or(0);
        if answer["is_partial"] != true {
            let told_of = |_: &Value| crate::text::count(dropped, "message") + " dropped";
            return told(json!({ "dropped": dropped }), told_of);
        }
    }
}

pub fn publish(target: &Target<'_>, args: &PublishArgs) -> Result<Shown, Failure> {
    let payload = match &args.message {
        Some(message) => message.clone().into_bytes(),
        None => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::Refused(vec![format!("standard input cannot be read: {error}")]))?;
            bytes
        }
    };
    let body = json!({
        "topic": args.topic,
        "payload_base64": STANDARD.encode(&payload),
        "qos": args.qos,
        "retain": args.retain,
        "expiry_s": args.expiry,
    });
    let answer = target.ask("POST", "/v1/publish", Some(body))?;
    let is_short = answer["not_retained"].is_object();
    let is_empty = payload.is_empty();
    Ok(Shown { is_short, ..told(answer, |answer| told_of_published(answer, is_empty))? })
}

fn told_of_published(answer: &Value, is_empty: bool) -> String {
    let is_matched = answer["matched"] == true;
    let Some(why) = answer["not_retained"]["why"].as_str() else {
        return if is_matched { "published" } else { "published; nobody subscribes to it" }.to_owned();
    };
    let matched = if is_matched { "" } else { ", nobody subscribes to it" };
    // [MQTT-3.3.1-6] An empty one deletes what is retained.
    let outcome = if is_empty { "what is retained on its topic stays" } else { "it is not retained" };
    format!("published{matched}, and {outcome}: {why}")
}

pub fn user(target: &Target<'_>, args: &UserArgs) -> Result<Shown, Failure> {
    match &args.command {
        UserCommand::Add(said) => {
            let mut body = said.body();
            body["user"] = json!(said.which.user);
            body["password"] = password()?;
            told(target.ask("POST", "/v1/users", Some(body))?, |answer| {
                format!("{} is added{}", said.which.user, warnings(answer))
            })
        }
        UserCommand::Set(SetArgs { said, password: asks, enable, disable }) => {
            let mut body = said.body();
            if *asks {
                body["password"] = password()?;
            }
            if *enable || *disable {
                body["is_disabled"] = json!(disable);
            }
            let path = format!("/v1/users/{}", encoded(&said.which.user));
            told(target.ask("PATCH", &path, Some(body))?, |answer| {
                format!("{} is changed{}", said.which.user, warnings(answer))
            })
        }
        UserCommand::Show(WhichArgs { user }) => list::user(target, user),
        UserCommand::Delete(WhichArgs { user }) => {
            let path = format!("/v1/users/{}", encoded(user));
            told(target.ask("DELETE", &path, None)?, |_| format!("{user} is deleted"))
        }
    }
}

impl SaidArgs {
    fn body(&self) -> Value {
        let mut body = json!({ "scram": self.scram });
        for (name, given) in [("groups", &self.groups), ("roles", &self.roles)] {
            if !given.is_empty() {
                body[name] = given.iter().filter(|name| !name.is_empty()).map(|name| json!(name)).collect();
            }
        }
        body
    }
}

fn password() -> Result<Value, Failure> {
    let refused = |sentence: String| Failure::Refused(vec![sentence]);
    let typed = passwd::typed_password().map_err(refused)?;
    let text = std::str::from_utf8(typed.expose());
    text.map(|text| json!(text)).map_err(|_| refused("the password is no text in UTF-8".to_owned()))
}

pub fn reload(target: &Target<'_>, is_plan: bool) -> Result<Shown, Failure> {
    let method = if is_plan { "GET" } else { "POST" };
    let body = target.config().map_or_else(|| json!({}), |config| json!({ "config": config }));
    let answer = target.ask(method, "/v1/reload", Some(body))?;
    let (text, _) = crate::reload::told(DONE, &answer);
    Ok(Shown { rows: vec![answer], text, ..Shown::default() })
}

/// Waits until it is made.
pub fn backup(target: &Target<'_>) -> Result<Shown, Failure> {
    let begun = target.ask("POST", BACKUP, Some(json!({})))?;
    loop {
        let state = target.get(BACKUP)?;
        if state["running"]["name"] == begun["name"] {
            thread::sleep(LOOKS_APART);
            continue;
        }
        let last = &state["last"];
        let why = last["why"]
            .as_str()
            .unwrap_or("another one was made meanwhile: iothub's log says what became of it");
        if last["name"] != begun["name"] || last["is_done"] != true {
            return Err(Failure::Refused(vec![why.to_owned()]));
        }
        return told(last.clone(), |last| {
            let bytes = last["bytes"].as_u64().unwrap_or_default();
            format!("{} is made ({})", last["name"].as_str().unwrap_or_default(), crate::text::size(bytes))
        });
    }
}

pub fn ban(target: &Target<'_>, banning: &BanningArgs) -> Result<Shown, Failure> {
    let text = banning.text();
    order_ban(target, "POST", &text)?;
    Ok(Shown { rows: vec![json!(text)], text: ban::ordered(&text), ..Shown::default() })
}

pub fn unban(target: &Target<'_>, whom: &WhomArgs) -> Result<Shown, Failure> {
    let text = whom.text(None);
    let answer = order_ban(target, "DELETE", &text)?;
    let mut row = json!(text);
    row["still"] = answer["still"].clone();
    Ok(Shown { rows: vec![row], text: ban::lifted(&text, &answer), ..Shown::default() })
}

fn order_ban(target: &Target<'_>, method: &str, text: &BanText) -> Result<Value, Failure> {
    // What is wrong in itself need not be asked.
    text.ban().map_err(|why| Failure::Refused(vec![why]))?;
    target.ask(method, BANS, Some(json!(text)))
}

pub fn drain(target: &Target<'_>) -> Result<Shown, Failure> {
    told(target.ask("POST", "/v1/drain", Some(json!({})))?, |_| {
        "the broker drains, and ends when it is done".to_owned()
    })
}

/// Between two questions whether it is done.
const LOOKS_APART: Duration = Duration::from_millis(200);

/// A line for each.
fn warnings(answer: &Value) -> String {
    let told = answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    told.map(|warning| format!("\nwarning: {warning}")).collect()
}

/// A sentence for people, the answer for programs.
fn told(answer: Value, sentence: impl FnOnce(&Value) -> String) -> Result<Shown, Failure> {
    let text = sentence(&answer) + "\n";
    Ok(Shown { rows: vec![answer], text, ..Shown::default() })
}

/// The status of whatever was not refused.
const DONE: u16 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_publishes_is_told_first_what_is_not_so() {
        let answer = |matched: bool, why: Value| json!({ "matched": matched, "not_retained": why });
        let told = |matched, is_empty| {
            told_of_published(&answer(matched, json!({ "why": "the store was full" })), is_empty)
        };
        assert_eq!(told(true, false), "published, and it is not retained: the store was full");
        assert_eq!(
            told(false, false),
            "published, nobody subscribes to it, and it is not retained: the store was full"
        );
        assert_eq!(
            told(false, true),
            "published, nobody subscribes to it, and what is retained on its topic stays: the store was full"
        );
        let all_is_well = [(true, "published"), (false, "published; nobody subscribes to it")];
        for (matched, expected) in all_is_well {
            assert_eq!(told_of_published(&answer(matched, Value::Null), false), expected);
        }
    }
}
