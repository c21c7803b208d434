//! A connected client proves once more who it is, and a grant that was not renewed ends. Messages go on meanwhile.

use std::borrow::Cow;

use mqtt::{Auth, PacketKind, ReasonCode, Version, Violation};

use crate::{
    Answer, Ask, ConnId, Shard, What,
    ask::{sayable, told},
    ending::WillFate,
    keys::SessionKey,
    receive::protocol_error,
    standing::Talk,
    turn::Turn,
};

impl Shard {
    /// [MQTT-4.12.1-1]
    pub(crate) fn on_auth(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        auth: &Auth<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        let connection = self.connections.get(conn).expect("the packet came from it");
        let standing = connection.standing.as_deref().filter(|standing| standing.method.is_some());
        // [MQTT-4.12.0-7]
        let Some(standing) = standing else {
            return Err(protocol_error("AUTH without an authentication method in CONNECT"));
        };
        match (auth.reason, standing.talk) {
            (ReasonCode::Reauthenticate, Talk::Over)
            | (ReasonCode::ContinueAuthentication, Talk::Challenged { .. }) => {}
            (ReasonCode::Reauthenticate, _) => {
                return Err(protocol_error("a re-authentication while another is under way"));
            }
            _ => return Err(protocol_error("AUTH that nothing has asked for")),
        }
        let ask = Ask {
            door: connection.door,
            version: Version::V5,
            client_id: (*self.sessions[session].client_id).into(),
            user_name: None,
            password: None,
            clean_start: false,
            exchange: Some(standing.next_exchange(auth)?),
            renews: connection.grant.clone(),
        };
        self.put_question(conn, ask, turn);
        Ok(())
    }

    pub(crate) fn on_renewal_answer(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        answer: Answer,
        turn: &mut Turn<'_>,
    ) {
        match answer {
            Answer::Accept { grant, lasts, data } => {
                let grant = match self.grant_as_revised(conn, grant) {
                    Ok(grant) => grant,
                    Err(ended) => {
                        return self.refuse_renewal(
                            conn,
                            ReasonCode::NotAuthorized,
                            ended.why().into(),
                            turn,
                        );
                    }
                };
                let held = self.connections.get(conn).and_then(|connection| connection.grant.as_ref());
                // What the session has was given to somebody by name.
                if held.is_some_and(|held| held.user != grant.user) {
                    let why = "the client has proved to be somebody else";
                    return self.refuse_renewal(conn, ReasonCode::NotAuthorized, why.into(), turn);
                }
                self.give_grant(conn, grant);
                let Some(standing) = self.standing(conn) else { return };
                standing.ends_at = lasts.map(|lasts| turn.now + lasts);
                standing.begin(Talk::Over, turn.now);
                self.counters.grants_renewed += 1;
                self.arm_standing(conn, turn);
                self.say_auth(conn, ReasonCode::Success, data.as_deref(), turn);
                self.forget_held(conn);
                self.review_rights(session, conn, turn);
            }
            Answer::Refuse { reason, why, .. } => self.refuse_renewal(conn, reason, why, turn),
            Answer::Continue { data, ticket } => drop(self.challenge(conn, &data, ticket, turn)),
        }
    }

    /// [MQTT-4.12.1-2]
    fn refuse_renewal(
        &mut self,
        conn: ConnId,
        reason: ReasonCode,
        why: Cow<'static, str>,
        turn: &mut Turn<'_>,
    ) {
        self.counters.refused_authentication += 1;
        let reason = sayable(reason, PacketKind::Disconnect);
        let what = What::Disconnected { reason, why };
        self.end_connection(conn, Some((reason, told(reason))), what, WillFate::Publish, turn);
    }

    /// The client or whoever was asked has not answered.
    pub(crate) fn end_renewal(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.counters.authentication_timeouts += 1;
        let why = "a re-authentication did not come to its end in time".into();
        self.refuse_renewal(conn, ReasonCode::NotAuthorized, why, turn);
    }

    /// What was granted for a time is over.
    pub(crate) fn end_grant(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.counters.grants_ended += 1;
        let (reason, why) = (ReasonCode::NotAuthorized, RUN_OUT);
        let grant = self.grant_of(conn);
        let by = grant.and_then(|grant| grant.by).unwrap_or("unknown");
        // The earlier one counts, and it is not kept which that was.
        let what = match grant.is_some_and(|grant| grant.certificate.is_some()) {
            true => format!("{RUN_OUT}: its certificate, or the {by} by which it came in"),
            false => format!("{RUN_OUT}: the {by} by which it came in"),
        };
        let what = What::Disconnected { reason, why: what.into() };
        self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
    }
}

const RUN_OUT: &str = "what proved who the client is has run out";
