use std::time::Duration;

use portcullis_core::{StoreError, TicketStore as _};
use portcullis_redis::{ConfigError, Redis, RedisTickets};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::server::{Port, RedisServer};
use crate::suite::tickets::new_key;

#[tokio::test]
async fn only_trusted_servers_are_accepted() {
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let reserved = Port::reserve();
    let port = reserved.number();
    let _server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &write("server.pem", certificate.pem()),
        "--tls-key-file",
        &write("server.key", key.serialize_pem()),
        "--tls-ca-cert-file",
        &write("root.pem", authority.pem()),
        "--tls-auth-clients",
        "no",
    ]);

    let url = format!("rediss://localhost:{port}");
    let deadline = Duration::from_secs(20);
    let trusted = Redis::builder(&url).root_certificate(authority.pem());
    let tickets = RedisTickets::new(&trusted.deadline(deadline).build().unwrap());
    let key = new_key();
    assert_eq!(tickets.put(key, b"r".to_vec(), deadline).await, Ok(()));
    assert_eq!(tickets.take(key).await, Ok(Some(b"r".to_vec())));

    let other = Redis::builder(&url).root_certificate(self::authority().pem());
    let system_roots = Redis::builder(&url);
    // The certificate is for the name `localhost`.
    let other_name =
        Redis::builder(&format!("rediss://127.0.0.1:{port}")).root_certificate(authority.pem());
    for untrusted in [other, system_roots, other_name] {
        let redis = untrusted.deadline(deadline).build().unwrap();
        assert_eq!(
            redis.check().await,
            Err(StoreError::Unavailable),
            "{redis:?}"
        );
    }
}

#[test]
fn unusable_root_certificates_are_refused() {
    for (url, pem) in [
        ("rediss://localhost:1", "not PEM".to_owned()),
        ("redis://localhost:1", authority().pem()),
    ] {
        let built = Redis::builder(url).root_certificate(pem).build();
        assert_eq!(built.unwrap_err(), ConfigError::Certificate, "{url}");
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}
