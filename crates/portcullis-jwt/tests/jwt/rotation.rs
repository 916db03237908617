//! Replacing the keys of a verifier.

use portcullis_core::{Credential, Verify as _, VerifyError};
use portcullis_jwt::{Algorithm, JwtError, Key, KeySet};

use crate::support::{SECRET, mac, secret_key, token, valid_claims, verifier};

const OTHER: &[u8; 32] = b"another secret, thirty-two bytes";

fn signed(header: &str, secret: &'static [u8]) -> String {
    token(header, valid_claims(), |message| {
        mac(aws_lc_rs::hmac::HMAC_SHA256, secret, message)
    })
}

#[test]
fn tokens_of_a_removed_key_are_refused_at_once() {
    let jwt = verifier(secret_key()).build().unwrap();
    let clone = jwt.clone();
    let header = r#"{"alg":"HS256"}"#;
    let (old, new) = (signed(header, SECRET), signed(header, OTHER));
    assert!(jwt.check(&old).is_ok());
    assert_eq!(jwt.check(&new).err(), Some(JwtError::Signature));

    jwt.replace_keys(Key::from_secret(Algorithm::HS256, OTHER).unwrap());
    for verifier in [&jwt, &clone] {
        assert_eq!(verifier.check(&old).err(), Some(JwtError::Signature));
        assert!(verifier.check(&new).is_ok());
    }
}

#[test]
fn old_and_new_key_are_accepted_during_a_rotation() {
    let old = || secret_key().with_id("old");
    let new = || {
        Key::from_secret(Algorithm::HS256, OTHER)
            .unwrap()
            .with_id("new")
    };
    let jwt = verifier(old()).build().unwrap();
    let by_old = signed(r#"{"alg":"HS256","kid":"old"}"#, SECRET);
    let by_new = signed(r#"{"alg":"HS256","kid":"new"}"#, OTHER);
    let crossed = signed(r#"{"alg":"HS256","kid":"old"}"#, OTHER);

    let outcome = |token: &str| jwt.check(token).map(|_| ());
    assert_eq!(outcome(&by_old), Ok(()));
    assert_eq!(outcome(&by_new), Err(JwtError::Key));

    jwt.replace_keys(KeySet::new([old(), new()]).unwrap());
    for _ in 0..2 {
        assert_eq!(outcome(&by_old), Ok(()));
        assert_eq!(outcome(&by_new), Ok(()));
        assert_eq!(outcome(&crossed), Err(JwtError::Signature));
    }

    jwt.replace_keys(new());
    assert_eq!(outcome(&by_old), Err(JwtError::Key));
    assert_eq!(outcome(&by_new), Ok(()));
    assert_eq!(
        jwt.keys().iter().map(Key::id).collect::<Vec<_>>(),
        [Some("new")]
    );
}

/// A header that was accepted before is not parsed again. That holds for its verifier and key only.
#[test]
fn remembered_header_does_not_skip_other_checks() {
    let keys = KeySet::from(secret_key());
    let header = r#"{"alg":"HS256","typ":"at+jwt"}"#;
    let access = verifier_of(&keys).kind("at+jwt").build().unwrap();
    let plain = verifier_of(&keys).build().unwrap();
    let good = signed(header, SECRET);
    for _ in 0..2 {
        assert!(access.check(&good).is_ok());
        assert_eq!(
            access.check(&signed(header, OTHER)).err(),
            Some(JwtError::Signature)
        );
        assert_eq!(plain.check(&good).err(), Some(JwtError::Kind));
    }
}

fn verifier_of(keys: &KeySet) -> portcullis_jwt::JwtBuilder {
    let jwt = portcullis_jwt::Jwt::builder(keys.clone());
    jwt.issuer(crate::support::ISSUER)
        .audience(crate::support::AUDIENCE)
        .clock(crate::support::At(crate::support::NOW as f64))
}

#[test]
fn keys_can_be_replaced_during_verification() {
    let jwt = verifier(secret_key()).build().unwrap();
    let old = signed(r#"{"alg":"HS256"}"#, SECRET);
    let new = signed(r#"{"alg":"HS256"}"#, OTHER);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    // Each verification uses one set or the other, and the new set stays.
                    while jwt.check(&new).is_err() {}
                    jwt.check(&old).err()
                })
            })
            .collect();
        jwt.replace_keys(Key::from_secret(Algorithm::HS256, OTHER).unwrap());
        for reader in readers {
            assert_eq!(reader.join().unwrap(), Some(JwtError::Signature));
        }
    });
}

#[test]
fn verify_now_and_verify_agree_and_hide_the_reason() {
    let jwt = verifier(secret_key()).build().unwrap();
    let good = signed(r#"{"alg":"HS256"}"#, SECRET);
    let verify = |credential: &Credential| {
        let now = jwt
            .verify_now(credential)
            .unwrap()
            .map(|identity| identity.subject().to_owned());
        let later = jwt.verify(credential);
        let later = poll_once(later).map(|identity| identity.subject().to_owned());
        assert_eq!(now, later);
        now
    };
    assert_eq!(
        verify(&Credential::bearer(good.clone())).as_deref(),
        Ok("alice")
    );
    assert_eq!(
        verify(&Credential::basic("alice", good.clone())).as_deref(),
        Ok("alice")
    );
    assert_eq!(
        verify(&Credential::basic("bob", good.clone())),
        Err(VerifyError::Invalid)
    );
    assert_eq!(
        verify(&Credential::bearer("a.b.c")),
        Err(VerifyError::Invalid)
    );
}

fn poll_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a verifier with local keys waits"),
    }
}
