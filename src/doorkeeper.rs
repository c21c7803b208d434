//! Who is let in: what a shard asks, in the words of the crate that answers, and back.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;
use identity::{
    Asked, Certificate, Chain, Chains, Enhanced, ExchangeId, Figures, Front, FrontLimits, Http, HttpError,
    HttpOptions, PasswordFile, Provider, Questions, Rejection, ScramFile, Secret,
    jwt::{PublishedKeys, TokenKeys, TokenRules},
    provider::{
        Anonymous, ByCertificate, CallOut, CertificateName, Database, KeySource, Passwords, Scram, Tokens,
    },
};
use runtime::{Answering, Question};
use shard::{Answer, Ask, CertificateId, Grant, ReasonCode, Version};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{
    brought_rights::BroughtRights,
    config::{
        Admittance, Anonymous as Who, Authentication, CertificateUser, ClientCertificates, Fault, Scheme,
        Settings, Way,
    },
    listen::{self, Entrance},
    numbering::Numbers,
    people::{LetsIn, People},
    rates::Registry,
    revoked::{self, Revoked},
    vocabulary::Vocabulary,
};

/// Asks threads of its own, for all shards.
pub struct Doorkeeper {
    front: Front,
    /// By the number of the door.
    listeners: RwLock<Vec<Arc<str>>>,
    /// By the number of the door.
    revoked: RwLock<Vec<Revoked>>,
    registry: Arc<Registry>,
    rights: Arc<BroughtRights>,
}

/// Whether anybody has to be asked about the clients of a listener.
pub fn asks(settings: &Settings, entrance: &Entrance, always: bool) -> bool {
    // A certificate that is revoked, or ends, ends what its client was granted, whoever grants it.
    let always = always
        || entrance.listener.rates.or(settings.rates.of).want_to_know()
        || shows_certificates(settings, entrance);
    let Admittance { ways, anonymous } = Admittance::of(&settings.authentication, &entrance.listener);
    // Whoever may come by a proxy may be anywhere.
    let may_be_relayed = !entrance.listener.proxy_protocol_from.is_empty()
        || !matches!(entrance.address.scheme, Scheme::Tcp | Scheme::Tls | Scheme::Unix);
    let is_local = !listen::is_open(&entrance.place) && !may_be_relayed;
    let lets_all_in = match anonymous {
        Who::Always => true,
        Who::Local => is_local,
        Who::Never => false,
    };
    always || !ways.is_empty() || !lets_all_in
}

/// Whether clients are asked for certificates there.
fn shows_certificates(settings: &Settings, entrance: &Entrance) -> bool {
    let tls = entrance.listener.tls(&settings.tls);
    tls.is_configured() && tls.client_certificates != ClientCertificates::None
}

impl Doorkeeper {
    /// Starts the threads. The error is a sentence for the log.
    pub fn start(
        settings: &Authentication,
        chains: Chains,
        numbers: &Numbers,
        registry: Arc<Registry>,
    ) -> Result<Doorkeeper, String> {
        let mut limits = FrontLimits::default();
        limits.threads = usize::try_from(settings.threads).unwrap_or(limits.threads);
        limits.queue_max = usize::try_from(settings.max_waiting).unwrap_or(limits.queue_max);
        limits.cache.accepted_ms = settings.cache_secs * 1000;
        let front = Front::start(chains, limits)
            .map_err(|error: io::Error| format!("a thread for authentication cannot be started: {error}"))?;
        Ok(Doorkeeper {
            front,
            listeners: RwLock::new(numbers.names()),
            revoked: RwLock::default(),
            registry,
            rights: Arc::default(),
        })
    }

    /// From now on these decide.
    pub fn replace(&self, chains: Chains, revoked: &[Revoked], numbers: &Numbers) {
        self.front.replace(chains);
        self.replace_revoked(revoked);
        *self.listeners.write().unwrap_or_else(PoisonError::into_inner) = numbers.names();
    }

    pub fn replace_revoked(&self, revoked: &[Revoked]) {
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = revoked.to_vec();
    }

    pub fn replace_vocabulary(&self, vocabulary: Vocabulary) {
        self.rights.replace(vocabulary);
    }

    /// The handshake may have been over before the list that has it.
    fn is_revoked(&self, door: u16, shown: &Shown) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        revoked.get(usize::from(door)).is_some_and(|revoked| shown.id.is_some_and(|id| revoked.contains(&id)))
    }

    pub fn figures(&self) -> Figures {
        self.front.figures()
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Who decides at each listener, and those of them who know users by name. Reads every file, and says everything that is wrong.
pub fn chains(
    settings: &Settings,
    numbers: &Numbers,
    decoys: &Secret,
) -> Result<(Chains, People), Vec<Fault>> {
    let authentication = &settings.authentication;
    let (shared, mut people) = providers(authentication, decoys)?;
    let by_certificate = shared.iter().find(|(way, _)| *way == Way::Certificate);
    let by_certificate = by_certificate.map(|(_, provider)| provider.kind());
    let mut chains = Chains::default();
    // Also where a listener was closed: its clients may be asked to prove themselves again.
    for (name, (entrance, is_open)) in numbers.names().iter().zip(numbers.all()) {
        let admittance = Admittance::of(authentication, &entrance.listener);
        let provider = |way: &Way| shared.iter().find(|(known, _)| known == way);
        let mut providers: Vec<Arc<dyn Provider>> =
            admittance.ways.iter().filter_map(provider).map(|(_, provider)| Arc::clone(provider)).collect();
        let everywhere = match admittance.anonymous {
            Who::Never => None,
            Who::Local => Some(false),
            Who::Always => Some(true),
        };
        if let Some(everywhere) = everywhere {
            let ignores_logins = admittance.ignores_logins();
            providers.push(Arc::new(Anonymous { everywhere, ignores_logins }));
        }
        let chain = Chain::new(providers);
        let strangers = everywhere == Some(true);
        let mut kinds = chain.kinds();
        // Who came in by a listener that is closed stays, whatever has become of its TLS.
        if is_open && !shows_certificates(settings, entrance) {
            kinds.retain(|kind| Some(*kind) != by_certificate);
        }
        people.letting_in.push(LetsIn { kinds, strangers });
        chains = chains.with(name, chain);
    }
    Ok((chains, people))
}

/// What listeners choose from.
type Providers = Vec<(Way, Arc<dyn Provider>)>;

/// All that are configured.
fn providers(settings: &Authentication, decoys: &Secret) -> Result<(Providers, People), Vec<Fault>> {
    let mut providers = Providers::new();
    let mut faults = Vec::new();
    let user = match settings.certificate_user {
        CertificateUser::None => None,
        CertificateUser::CommonName => Some(CertificateName::CommonName),
        CertificateUser::AlternativeName => Some(CertificateName::AlternativeName),
        CertificateUser::Fingerprint => Some(CertificateName::Fingerprint),
    };
    providers.extend(user.map(|user| (Way::Certificate, Arc::new(ByCertificate { user }) as _)));
    let tokens = (!settings.jwt_keys.is_empty()).then(|| tokens(settings));
    providers.extend(taken(tokens, &mut faults).map(|tokens| (Way::Token, Arc::new(tokens) as _)));
    let mut people = People::default();
    let database = file(&settings.user_database, "user_database", |path| Database::load(path, decoys));
    if let Some(users) = taken(database, &mut faults) {
        providers.push((Way::Database, Arc::clone(people.database.insert(Arc::new(users))) as _));
    }
    let mut warnings = Vec::new();
    let scram = file(&settings.scram_file, "scram_file", ScramFile::load);
    if let Some((file, warned)) = taken(scram, &mut faults) {
        warnings.extend(warned);
        let scram = Arc::new(Scram::new(&settings.scram_file, file, decoys));
        providers.push((Way::Scram, Arc::clone(people.scram.insert(scram)) as _));
    }
    let passwords = file(&settings.password_file, "password_file", PasswordFile::load);
    if let Some((file, warned)) = taken(passwords, &mut faults) {
        warnings.extend(warned);
        let passwords = Arc::new(Passwords::new(&settings.password_file, file));
        providers.push((Way::Password, Arc::clone(people.passwords.insert(passwords)) as _));
    }
    let http = (!settings.http_url.is_empty()).then(|| call_out(settings));
    providers.extend(taken(http, &mut faults).map(|http| (Way::Http, Arc::new(CallOut::new(http)) as _)));
    if !faults.is_empty() {
        return Err(faults);
    }
    let told = warnings.iter().map(|it| format!("{}, line {}: {}", it.file, it.line, it.what));
    people.passed_over = told.collect();
    Ok((providers, people))
}

/// What is there; what is not and should be is a fault.
fn taken<T>(read: Option<Result<T, Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    match read? {
        Ok(taken) => Some(taken),
        Err(fault) => {
            faults.push(fault);
            None
        }
    }
}

/// What the key names, if it names anything.
fn file<T, E: ToString>(
    name: &str,
    key: &'static str,
    load: impl FnOnce(&Path) -> Result<T, E>,
) -> Option<Result<T, Fault>> {
    (!name.is_empty()).then(|| load(Path::new(name)).map_err(|error| fault(key, error)))
}

fn fault(key: &'static str, error: impl ToString) -> Fault {
    Fault::of("authentication", key, error.to_string())
}

fn tokens(settings: &Authentication) -> Result<Tokens, Fault> {
    if settings.jwt_user_claim.is_empty() {
        let what = "a user has to have a name: name the claim, as \"sub\"";
        return Err(fault("jwt_user_claim", what));
    }
    let keys = &settings.jwt_keys;
    let source = if keys.contains("://") {
        let url = Url {
            keys: ["jwt_keys", "jwt_ca_file"],
            url: keys,
            ca_file: &settings.jwt_ca_file,
            questions: &OF_KEYS,
        };
        let http = http(settings, url, None)?;
        let host = http.host().to_owned();
        let report = move |trouble: Option<&str>| tell_of_keys(&host, trouble);
        KeySource::Published(PublishedKeys::new(
            Box::new(move || http.get()),
            Box::new(report),
            settings.jwt_refresh_secs * 1000,
        ))
    } else {
        KeySource::Known(TokenKeys::load(Path::new(keys)).map_err(|error| fault("jwt_keys", error))?)
    };
    let rules = TokenRules {
        issuers: settings.jwt_issuers.clone(),
        audiences: settings.jwt_audiences.clone(),
        leeway_s: settings.jwt_leeway_secs,
        client_id_claim: Some(settings.jwt_client_id_claim.clone()).filter(|claim| !claim.is_empty()),
        user_claim: settings.jwt_user_claim.clone(),
        groups_claim: settings.jwt_groups_claim.clone(),
        roles_claim: settings.jwt_roles_claim.clone(),
        permissions_claim: settings.jwt_permissions_claim.clone(),
        ..TokenRules::default()
    };
    Ok(Tokens::new(source, rules))
}

fn tell_of_keys(host: &str, trouble: Option<&str>) {
    match trouble {
        Some(trouble) => tracing::warn!(
            host,
            trouble,
            "published keys of tokens cannot be fetched; those that are known go on, and it is tried again, though not at any rate"
        ),
        None => tracing::info!(host, "published keys of tokens are fetched again"),
    }
}

fn call_out(settings: &Authentication) -> Result<Http, Fault> {
    const FILE: &str = "http_authorization_file";
    let authorization = file(&settings.http_authorization_file, FILE, identity::read_secret).transpose()?;
    let url = Url {
        keys: ["http_url", "http_ca_file"],
        url: &settings.http_url,
        ca_file: &settings.http_ca_file,
        questions: &OF_CALL_OUT,
    };
    http(settings, url, authorization)
}

/// What is asked over HTTP, and the keys of the URL and of those who may have signed its server's certificate.
struct Url<'a> {
    keys: [&'static str; 2],
    url: &'a str,
    ca_file: &'a str,
    questions: &'static Questions,
}

/// Questions to other programs, by the key of the one that was asked, since the start.
pub fn questions() -> [(&'static str, Asked); 2] {
    [("http_url", OF_CALL_OUT.asked()), ("jwt_keys", OF_KEYS.asked())]
}

/// They go on whatever a reload brings.
static OF_CALL_OUT: Questions = Questions::new();
static OF_KEYS: Questions = Questions::new();

/// The secret goes with every question: it is for the call-out, and for no server of keys.
fn http(settings: &Authentication, url: Url<'_>, authorization: Option<Secret>) -> Result<Http, Fault> {
    let options = HttpOptions {
        url: url.url.to_owned(),
        timeout: Some(Duration::from_secs(settings.http_timeout_secs)),
        timeout_key: Some("authentication.http_timeout_secs"),
        ca_file: (!url.ca_file.is_empty()).then(|| Path::new(url.ca_file).to_owned()),
        authorization,
        questions: Some(url.questions),
    };
    let [of_url, of_ca_file] = url.keys;
    Http::new(&options).map_err(|error| match error {
        HttpError::File(_) | HttpError::NoCertificate { .. } => fault(of_ca_file, error),
        HttpError::Authorization => fault("http_authorization_file", error),
        HttpError::Url(_) | HttpError::Credentials | HttpError::NoSystem => fault(of_url, error),
    })
}

impl runtime::Doorkeeper for Doorkeeper {
    fn ask(&self, question: Question, answering: Answering) {
        let Question { ask, address, is_relayed, certificate } = question;
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let listener = listeners.get(usize::from(ask.door)).cloned().unwrap_or_default();
        drop(listeners);
        let (certificate, shown) = match certificate.map(|der| certificate_of(&der)) {
            Some((certificate, shown)) => (Some(Arc::new(certificate)), shown),
            None => (None, Shown::default()),
        };
        if self.is_revoked(ask.door, &shown) {
            answering.give(Answer::refuse(ReasonCode::NotAuthorized, "the certificate is revoked"));
            return;
        }
        let question = question_of(&ask, listener, (address, is_relayed), certificate);
        let (registry, rights) = (Arc::clone(&self.registry), Arc::clone(&self.rights));
        let is_new = ask.renews.is_none();
        let (door, client_id) = (ask.door, ask.client_id);
        let from = (address, question.is_local());
        self.front.ask(question, move |answer| {
            rights.look_at(&answer);
            let answer = answer_of(answer, from, shown, &registry);
            answering.give(match &answer {
                Answer::Accept { grant, .. }
                    if is_new && !registry.may_enter(door, &client_id, grant.user.as_deref()) =>
                {
                    Answer::refuse(
                        ReasonCode::ConnectionRateExceeded,
                        "connects more often than its rate allows",
                    )
                }
                _ => answer,
            });
        });
    }

    fn opens(&self, door: u16) -> bool {
        self.registry.opens(door)
    }

    fn may_come_from(&self, door: u16, address: IpAddr) -> bool {
        self.registry.may_come_from(door, address)
    }
}

impl std::fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorkeeper").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

fn question_of(
    ask: &Ask,
    listener: Arc<str>,
    (address, is_relayed): (Option<SocketAddr>, bool),
    certificate: Option<Arc<Certificate>>,
) -> identity::Ask {
    identity::Ask {
        listener,
        address,
        is_relayed,
        client_id: ask.client_id.clone(),
        user: ask.user_name.clone(),
        password: ask.password.clone(),
        certificate,
        version: match ask.version {
            Version::V31 => 3,
            Version::V311 => 4,
            Version::V5 => 5,
        },
        enhanced: ask.exchange.as_ref().map(|exchange| Enhanced {
            method: exchange.method.clone(),
            data: exchange.data.clone().unwrap_or_default(),
            exchange: exchange.ticket.map(ExchangeId),
        }),
    }
}

fn answer_of(
    answer: identity::Answer,
    (address, is_local): (Option<SocketAddr>, bool),
    shown: Shown,
    registry: &Registry,
) -> Answer {
    match answer {
        identity::Answer::Reject(Rejection { reason, why, user }) => {
            Answer::Refuse { reason: reason_of(reason), why, user }
        }
        identity::Answer::Challenge { data, exchange } => {
            Answer::Continue { data: data.into(), ticket: exchange.0 }
        }
        identity::Answer::Accept { identity, data } => {
            // Whoever came in with a certificate is not let in without one that is good.
            let end = identity.expires_at_unix_ms.into_iter().chain(shown.ends_at_unix_ms).min();
            let lasts = end.map(|end| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Duration::from_millis(end).saturating_sub(now)
            });
            let grant = Grant {
                by: Some(identity.kind),
                user: identity.user.clone(),
                groups: identity.groups.iter().cloned().collect(),
                roles: identity.roles.iter().cloned().collect(),
                certificate_names: shown.names,
                certificate: shown.id,
                address: address.map(|address| address.ip().to_canonical()),
                is_local,
                is_authenticated: identity.user.is_some(),
                tallies: registry.tallies(identity.user.as_deref(), address.map(|address| address.ip())),
                provider: (!identity.provider.is_empty()).then(|| (*identity.provider).into()),
                permits: identity.permits.clone(),
            };
            Answer::Accept { grant: Arc::new(grant), lasts, data: data.map(Into::into) }
        }
    }
}

fn reason_of(reason: identity::Reason) -> ReasonCode {
    match reason {
        identity::Reason::BadUserNameOrPassword => ReasonCode::BadUserNameOrPassword,
        identity::Reason::NotAuthorized => ReasonCode::NotAuthorized,
        identity::Reason::ServerUnavailable => ReasonCode::ServerUnavailable,
        identity::Reason::ServerBusy => ReasonCode::ServerBusy,
        identity::Reason::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
        identity::Reason::ConnectionRateExceeded => ReasonCode::ConnectionRateExceeded,
    }
}

/// What holds of a client's certificate, whoever lets the client in.
#[derive(Default)]
struct Shown {
    names: Box<[Arc<str>]>,
    id: Option<CertificateId>,
    ends_at_unix_ms: Option<u64>,
}

/// The handshake has found the certificate good; here it is only read. What cannot be read is not there.
fn certificate_of(der: &[u8]) -> (Certificate, Shown) {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    let mut certificate = Certificate { common_name: None, alternative_names: Vec::new(), fingerprint };
    let Ok((_, parsed)) = x509_parser::certificate::X509Certificate::from_der(der) else {
        return (certificate, Shown::default());
    };
    let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    certificate.common_name = common_name.map(Into::into);
    if let Ok(Some(names)) = parsed.subject_alternative_name() {
        certificate.alternative_names = names.value.general_names.iter().filter_map(text_of).collect();
    }
    // Through the whole of its last second.
    let ends_at_s = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    let shown = Shown {
        names: names_of(&certificate).into(),
        id: Some(revoked::id(parsed.issuer(), parsed.raw_serial())),
        ends_at_unix_ms: Some((ends_at_s + 1).saturating_mul(1000)),
    };
    (certificate, shown)
}

fn text_of(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).into())
        }
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let sixteen =
                || <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            four.or_else(|_| sixteen()).ok().map(Into::into)
        }
        _ => None,
    }
}

/// The common name first, as rules know the certificate by it.
fn names_of(certificate: &Certificate) -> Vec<Arc<str>> {
    let alternative = certificate.alternative_names.iter();
    certificate.common_name.iter().chain(alternative).map(|name| Arc::from(&**name)).collect()
}

#[cfg(test)]
mod tests;
