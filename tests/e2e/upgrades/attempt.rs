use portcullis_e2e::Server;

use crate::link;

const MARKER: &str = "v1.token.websocket.jupyter.org";

/// One attempt to open a socket: what is added to the address and to the headers.
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Attempt {
    fn new(name: &'static str, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            name,
            query: String::new(),
            headers,
        }
    }

    fn query(name: &'static str, query: &str) -> Self {
        Self {
            query: query.to_owned(),
            ..Self::new(name, &[])
        }
    }
}

/// What is let in by every server.
pub(super) fn admitted(server: &Server) -> Attempt {
    Attempt::new(
        "a good token",
        &[("authorization", &format!("Bearer {}", server.token()))],
    )
}

/// What is refused by every server, whatever carriers it takes.
pub(super) fn refused_anywhere(server: &Server) -> Vec<Attempt> {
    let (good, wrong) = (server.token(), server.foreign_secret());
    let (good, wrong) = (format!("Bearer {good}"), format!("Bearer {wrong}"));
    vec![
        Attempt::new("nothing", &[]),
        Attempt::new("a wrong token", &[("authorization", &wrong)]),
        Attempt::new(
            "two credentials in one carrier",
            &[("authorization", &good), ("authorization", &wrong)],
        ),
        Attempt::new(
            "a cookie that nobody set",
            &[("cookie", &format!("session={wrong}"))],
        ),
    ]
}

/// What is refused by the kernel server, in both profiles.
pub(super) async fn refused(server: &Server) -> Vec<Attempt> {
    let wrong = server.foreign_secret();
    let cookie = link::cookie_line(server).await;
    let subprotocols =
        |name, entries: &str| Attempt::new(name, &[("sec-websocket-protocol", entries)]);
    let from = |name, origin| Attempt::new(name, &[("cookie", &cookie), ("origin", origin)]);
    let mut attempts = refused_anywhere(server);
    attempts.extend([
        Attempt::query("a wrong token in the address", &format!("?token={wrong}")),
        Attempt::query("no UTF-8 in the address", "?token=%ff"),
        subprotocols("the marker alone", MARKER),
        subprotocols(
            "a wrong token in an entry",
            &format!("{MARKER}, {MARKER}.{wrong}"),
        ),
        subprotocols(
            "an entry that cannot be decoded",
            &format!("{MARKER}, {MARKER}.%zz"),
        ),
        from("the cookie from a foreign page", "http://evil.example"),
        from("the cookie from another port", "http://127.0.0.1:1"),
        from("the cookie from nowhere", "null"),
    ]);
    attempts
}
