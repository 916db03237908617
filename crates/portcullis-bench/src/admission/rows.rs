//! The rows of the table.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use axum::Router;
use http::{Request, StatusCode};
use portcullis::carrier::{CookieCarrier, QueryCarrier};
use portcullis::verify::CacheConfig;
use portcullis::{
    AuthLayer, Credential, Identity, Profile, StaticTokens, Verify, VerifyError, VerifyExt,
};
use portcullis_jwt::{Algorithm, Jwt, Key};

use super::Budget::{self, Instructions, Times};
use super::case::Case;
use super::handshake::Handshake;
use super::tokens::{self, TOKEN, base64url};
use super::{cookies, peers};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) budget: Option<Budget>,
    /// Whether the case is a request, which is also sent through a layer that does nothing.
    pub(crate) is_request: bool,
    pub(crate) case: fn() -> Case,
}

const fn row(name: &'static str, case: fn() -> Case) -> Row {
    Row {
        name,
        budget: None,
        is_request: true,
        case,
    }
}

impl Row {
    const fn budget(self, budget: Budget) -> Self {
        Self {
            budget: Some(budget),
            ..self
        }
    }
}

const HEADER: Budget = Instructions(3_300.0, Some(4.0));
const SUBPROTOCOL: Budget = Instructions(6_500.0, Some(6.0));
const QUERY: Budget = Instructions(4_200.0, Some(4.0));

const HS256: Budget = Instructions(20_500.0, None);
const CACHED: Budget = Instructions(5_800.0, None);

pub(crate) const ROWS: &[Row] = &[
    row("static token, header", || {
        Case::admitted(static_token(Profile::default()), bearer(TOKEN))
    })
    .budget(HEADER),
    row("static token, header, jupyter", || {
        Case::admitted(static_token(Profile::jupyter()), bearer(TOKEN))
    })
    .budget(HEADER),
    row("static token, subprotocol", || {
        let entries = format!("v1.bearer, v1.bearer.{}", base64url(TOKEN));
        let request = Handshake::to("/ws").protocols(&entries).build();
        Case::admitted(static_token(Profile::default()), request)
    })
    .budget(SUBPROTOCOL),
    row("static token, subprotocol, jupyter", || {
        let marker = "v1.token.websocket.jupyter.org";
        let entries = format!("{marker}, {marker}.{TOKEN}");
        let request = Handshake::to("/ws").protocols(&entries).build();
        Case::admitted(static_token(Profile::jupyter()), request)
    })
    .budget(SUBPROTOCOL),
    row("static token, query", || {
        let profile = Profile::default().carrier(QueryCarrier::named("token"));
        Case::admitted(static_token(profile), query(TOKEN))
    })
    .budget(QUERY),
    row("static token, query, jupyter", || {
        Case::admitted(static_token(Profile::jupyter()), query(TOKEN))
    })
    .budget(QUERY),
    row("static token, plain cookie", by_plain_cookie),
    row("static token, sealed cookie", by_sealed_cookie),
    row("an async closure, header", || {
        let verifier = async |credential: Credential| match credential.expose_secret() == TOKEN {
            true => Ok(Identity::new("alice")),
            false => Err(VerifyError::Invalid),
        };
        Case::admitted(behind(AuthLayer::new(verifier)), bearer(TOKEN))
    }),
    row("JWT HS256, header", || {
        Case::admitted(
            behind(AuthLayer::new(jwt(hs256_key()))),
            bearer(tokens::HS256),
        )
    })
    .budget(HS256),
    row("JWT HS256, header, cached", || {
        let verifier = jwt(hs256_key()).cached(CacheConfig::default());
        Case::admitted(behind(AuthLayer::new(verifier)), bearer(tokens::HS256))
    })
    .budget(CACHED),
    Row {
        is_request: false,
        ..row("ES256, the bare signature check", || {
            bare_check(
                &ECDSA_P256_SHA256_FIXED,
                &tokens::es256_key(),
                tokens::ES256,
            )
        })
    },
    row("JWT ES256, header", || {
        let key = Key::from_der(Algorithm::ES256, &tokens::es256_key());
        let jwt = jwt(key.expect("a constant"));
        Case::admitted(behind(AuthLayer::new(jwt)), bearer(tokens::ES256))
    })
    .budget(Times(1.03, "ES256, the bare signature check")),
    Row {
        is_request: false,
        ..row("EdDSA, the bare signature check", || {
            bare_check(&ED25519, &tokens::eddsa_key(), tokens::EDDSA)
        })
    },
    row("JWT EdDSA, header", || {
        let key = Key::from_der(Algorithm::EdDSA, &tokens::eddsa_key());
        let jwt = jwt(key.expect("a constant"));
        Case::admitted(behind(AuthLayer::new(jwt)), bearer(tokens::EDDSA))
    })
    .budget(Times(1.03, "EdDSA, the bare signature check")),
    row("refused: no credential", || {
        let app = static_token(Profile::default());
        Case::refused(app, Handshake::to("/ws").build(), StatusCode::UNAUTHORIZED)
    }),
    row("refused: an unknown token", || {
        let app = static_token(Profile::default());
        let request = bearer(&TOKEN.replace('6', "7"));
        Case::refused(app, request, StatusCode::UNAUTHORIZED)
    }),
    row("refused: a cookie from a foreign origin", || {
        let (cookie, line) = cookies::sealed();
        let app = static_token(Profile::new("cookie").carrier(cookie));
        let request = Handshake::to("/ws")
            .foreign()
            .cookies(&cookies::among_others(&line));
        Case::refused(app, request.build(), StatusCode::FORBIDDEN)
    }),
    row("tower-http, static token, header", || {
        Case::admitted(peers::tower_http_bearer(), bearer(TOKEN))
    }),
    row("axum-extra's `TypedHeader`, static token, header", || {
        Case::admitted(peers::typed_header(), bearer(TOKEN))
    }),
    row("`from_fn`, static token, header", || {
        Case::admitted(peers::from_fn_bearer(), bearer(TOKEN))
    }),
    row("`from_fn`, axum-extra's `PrivateCookieJar`", || {
        let (key, line) = cookies::private();
        Case::admitted(peers::private_cookie(key), cookies(&line))
    }),
    row("`from_fn`, jsonwebtoken HS256, header", || {
        Case::admitted(peers::from_fn_jsonwebtoken(), bearer(tokens::HS256))
    }),
    row("a layer without a setting that does nothing", || {
        Case::admitted(peers::nothing_sizeless(), bearer(TOKEN))
    }),
];

pub(crate) fn by_plain_cookie() -> Case {
    let profile = Profile::new("cookie").carrier(CookieCarrier::named("__Host-session"));
    let request = cookies(&format!("__Host-session={TOKEN}"));
    Case::admitted(static_token(profile), request)
}

pub(crate) fn by_sealed_cookie() -> Case {
    let (cookie, line) = cookies::sealed();
    let profile = Profile::new("cookie").carrier(cookie);
    Case::admitted(static_token(profile), cookies(&line))
}

fn static_token(profile: Profile) -> Router {
    let tokens = StaticTokens::new([("alice", TOKEN)]).expect("a token that is not empty");
    behind(AuthLayer::new(tokens).profile(profile))
}

fn behind<V: Verify>(layer: AuthLayer<V>) -> Router {
    peers::route().route_layer(layer)
}

fn bearer(token: &str) -> Request<()> {
    Handshake::to("/ws").bearer(token).build()
}

fn query(token: &str) -> Request<()> {
    Handshake::to(&format!("/ws?token={token}")).build()
}

fn cookies(cookie: &str) -> Request<()> {
    let line = cookies::among_others(cookie);
    Handshake::to("/ws").cookies(&line).build()
}

fn hs256_key() -> Key {
    Key::from_secret(Algorithm::HS256, tokens::SECRET).expect("a secret of 32 bytes")
}

fn jwt(key: Key) -> Jwt {
    let jwt = Jwt::builder(key)
        .issuer(tokens::ISSUER)
        .audience(tokens::AUDIENCE)
        .build();
    jwt.expect("an issuer and an audience that are not empty")
}

/// Returns the signature check that every verifier needs: aws-lc with a prepared key.
fn bare_check(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], token: &str) -> Case {
    let key = ParsedPublicKey::new(algorithm, key).expect("a constant");
    let (message, signature) = tokens::parts(token);
    Case::Work(Box::new(move || {
        key.verify_sig(&message, &signature).is_ok()
    }))
}
