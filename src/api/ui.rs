//! The dashboard: files of `src/ui`, which are part of the program, and what a browser is told about them.
//!
//! They hold nothing of this broker. What the page shows it asks for by the API, with a token, as everybody does; so whoever
//! comes may have them.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use super::answer;

pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|| async { Redirect::temporary(HOME) }))
        .route("/ui", get(|| async { Redirect::temporary(HOME) }))
        .route(HOME, get(|headers: HeaderMap| async move { serve("index.html", &headers) }))
        .route(
            "/ui/{file}",
            get(|Path(file): Path<String>, headers: HeaderMap| async move { serve(&file, &headers) }),
        )
}

struct Asset {
    name: &'static str,
    content: &'static str,
    /// Of the content, in quotes: a browser that has the same is not sent it.
    tag: HeaderValue,
}

macro_rules! assets {
    ($($name:literal,)+) => {
        static ASSETS: LazyLock<Vec<Asset>> =
            LazyLock::new(|| vec![$(Asset::new($name, include_str!(concat!("../ui/", $name))),)+]);
    };
}

assets! {
    "api.js",
    "app.js",
    "bans.js",
    "chart.js",
    "client.js",
    "clients.js",
    "data.css",
    "dialog.js",
    "dom.js",
    "drops.js",
    "events.js",
    "exchange.js",
    "feed.js",
    "filters.js",
    "format.js",
    "icon.svg",
    "index.html",
    "listeners.js",
    "log.js",
    "login.js",
    "mqtt.js",
    "overview.js",
    "packet.js",
    "parts.css",
    "poll.js",
    "rates.js",
    "renew.js",
    "samples.js",
    "shards.js",
    "style.css",
    "subscriptions.js",
    "table.js",
    "theme.js",
    "top.js",
    "topics.js",
    "tree.js",
    "users.js",
    "why.js",
}

impl Asset {
    fn new(name: &'static str, content: &'static str) -> Asset {
        let digest = digest(&SHA256, content.as_bytes());
        let hex: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hex}\"")).expect("hex digits in quotes");
        Asset { name, content, tag }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        }
    }
}

fn serve(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return answer::not_found("the dashboard has no such file: it is at /ui/");
    };
    let told = [
        (header::ETAG, asset.tag.clone()),
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type())),
    ];
    if is_known(headers, &asset.tag) {
        return (StatusCode::NOT_MODIFIED, GUARDS, told).into_response();
    }
    (GUARDS, told, asset.content).into_response()
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let asked = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let tag = tag.to_str().unwrap_or_default();
    asked
        .flat_map(|tags| tags.split(','))
        .any(|one| [tag, "*"].contains(&one.trim().trim_start_matches("W/")))
}

/// What the page may do: run its own files, ask the API that it came from, and open WebSockets, whose listeners have other ports. Nothing
/// may frame it, and no text may become markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const GUARDS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // It is asked each time whether it is still the same: an upgraded broker has its own page at once.
    (header::CACHE_CONTROL, "no-cache"),
];

const HOME: &str = "/ui/";

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::api::{TOKENS_NAME, first_token};

    fn names() -> BTreeSet<String> {
        ASSETS.iter().map(|asset| asset.name.to_owned()).collect()
    }

    #[test]
    fn every_file_of_the_dashboard_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
        let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        assert_eq!(files.map(|name| name.into_string().expect("text")).collect::<BTreeSet<_>>(), names());
    }

    #[test]
    fn who_signs_in_is_told_where_the_first_token_is() {
        let login = ASSETS.iter().find(|asset| asset.name == "login.js").expect("login.js");
        let file = first_token::beside(TOKENS_NAME.as_ref());
        assert!(login.content.contains(&format!("\"{}\"", file.display())));
        assert!(!login.content.contains("into its log"));
    }

    #[test]
    fn what_a_file_refers_to_is_there() {
        for asset in ASSETS.iter() {
            let quoted = asset.content.split(['"', '\'']).filter_map(|part| part.strip_prefix("./"));
            let imported = quoted.filter(|part| part.ends_with(".js"));
            for name in imported {
                assert!(names().contains(name), "{} imports {name}", asset.name);
            }
        }
        for part in ["style.css", "parts.css", "data.css", "app.js", "icon.svg"] {
            let index = ASSETS.iter().find(|asset| asset.name == "index.html").expect("index.html");
            assert!(index.content.contains(&format!("\"{part}\"")), "{part}");
        }
    }

    #[test]
    fn no_file_makes_markup_of_text_or_names_another_host() {
        for asset in ASSETS.iter() {
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""]
            {
                assert!(!asset.content.contains(forbidden), "{}: {forbidden}", asset.name);
            }
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("http://") && !content.contains("https://"), "{}", asset.name);
        }
    }

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it() {
        let ask = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, tag.parse().expect("a tag"));
            serve("app.js", &headers)
        };
        let whole = serve("app.js", &HeaderMap::new());
        assert_eq!(whole.status(), StatusCode::OK);
        assert_eq!(whole.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let tag = whole.headers()[header::ETAG].to_str().expect("text").to_owned();
        assert_eq!(ask(&tag).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask(&format!("\"other\", W/{tag}")).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("\"other\"").status(), StatusCode::OK);
        assert_eq!(serve("main.rs", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
