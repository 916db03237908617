use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};

use crate::ConfigError;

/// The servers of a URL, and whether they belong to a cluster.
pub(crate) struct Address {
    pub(crate) servers: Vec<ConnectionInfo>,
    pub(crate) is_cluster: bool,
}

impl Address {
    /// Parses `redis://[user:password@]host[:port][/database]` or
    /// `redis+cluster://[user:password@]host[:port][,host[:port]]…`, both with `rediss` for TLS.
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let (scheme, rest) = url.split_once("://").ok_or(ConfigError::Url)?;
        let Some(scheme) = scheme.strip_suffix("+cluster") else {
            return Ok(Self {
                servers: vec![server(url)?],
                is_cluster: false,
            });
        };
        // An `@` in the password should be percent-encoded; the last one ends it in any case.
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), rest),
        };
        let hosts = hosts.trim_end_matches('/');
        let servers = hosts
            .split(',')
            .map(|host| server(&format!("{scheme}://{user}{host}")))
            .collect::<Result<Vec<_>, _>>()?;
        // A cluster has only one database, and a path would apply to the last host only.
        let is_plain = !hosts.contains(['/', '?', '#']);
        match is_plain && servers.iter().all(|server| host_and_port(server).is_some()) {
            true => Ok(Self {
                servers,
                is_cluster: true,
            }),
            false => Err(ConfigError::Url),
        }
    }

    /// Accepts only server certificates that are signed by this root certificate.
    #[cfg(feature = "tls")]
    pub(crate) fn trusting(self, root: &[u8]) -> Result<Self, ConfigError> {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;

        // The client library accepts a text without certificates, and then trusts no server.
        let mut certificates = CertificateDer::pem_slice_iter(root).peekable();
        let is_readable =
            certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok());
        if !is_readable {
            return Err(ConfigError::Certificate);
        }
        let trusting = |server| {
            let certificates = redis::TlsCertificates {
                client_tls: None,
                root_cert: Some(root.to_vec()),
            };
            let client = redis::Client::build_with_tls(server, certificates);
            let client = client.map_err(|_| ConfigError::Certificate)?;
            Ok(client.get_connection_info().clone())
        };
        let servers = self.servers.into_iter().map(trusting);
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            is_cluster: self.is_cluster,
        })
    }
}

/// Returns the connection settings of another server of the cluster: those of `sibling` with another
/// host and port.
pub(crate) fn sibling(sibling: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let mut address = sibling.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(its_host, its_port)
        | ConnectionAddr::TcpTls {
            host: its_host,
            port: its_port,
            ..
        } => {
            host.clone_into(its_host);
            *its_port = port;
        }
        // A Unix socket is not a server of a cluster.
        _ => {}
    }
    sibling.clone().set_addr(address)
}

/// Returns host and port, unless the address is a Unix socket.
pub(crate) fn host_and_port(server: &ConnectionInfo) -> Option<(&str, u16)> {
    match server.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some((host, *port))
        }
        _ => None,
    }
}

fn server(url: &str) -> Result<ConnectionInfo, ConfigError> {
    let server = url.into_connection_info().map_err(|_| ConfigError::Url)?;
    if !server.addr().is_supported() {
        return Err(ConfigError::Url);
    }
    // RESP3 allows messages and responses on one connection, and the client library then reports a
    // lost connection.
    let settings = server.redis_settings().clone();
    Ok(server.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Option<(Vec<String>, bool)> {
        let address = Address::parse(url).ok()?;
        let servers = address.servers.iter();
        let servers = servers.map(|server| server.addr().to_string()).collect();
        Some((servers, address.is_cluster))
    }

    #[test]
    fn urls_are_parsed() {
        let one = |server: &str| Some((vec![server.to_owned()], false));
        for (url, expected) in [
            ("redis://127.0.0.1", one("127.0.0.1:6379")),
            ("redis://alice:pw@host:7/2", one("host:7")),
            ("redis://[::1]:7", one("::1:7")),
            ("unix:///run/redis.sock", one("/run/redis.sock")),
            (
                "redis+cluster://a:1,b,c:3/",
                Some((vec!["a:1".into(), "b:6379".into(), "c:3".into()], true)),
            ),
            (
                "redis+cluster://user:p%40w@a:1,b:2",
                Some((vec!["a:1".into(), "b:2".into()], true)),
            ),
            ("valkey://host:7", one("host:7")),
            ("valkey+cluster://a:1", Some((vec!["a:1".into()], true))),
            ("unix+cluster:///run/redis.sock", None),
            ("unix+cluster://a", None),
            ("redis+cluster://", None),
            ("redis+cluster://a:1,,b:2", None),
            ("redis+cluster://a:1/2", None),
            ("redis://a:1,b:2", None),
            ("http://a:1", None),
            ("a:1", None),
            ("", None),
        ] {
            assert_eq!(parse(url), expected, "{url}");
        }
    }

    #[test]
    fn every_server_of_a_cluster_has_the_user_of_the_url() {
        let address = Address::parse("redis+cluster://alice:p%40w@a:1,b:2").unwrap();
        for server in address.servers {
            let server = sibling(&server, "c", 3);
            assert_eq!(host_and_port(&server), Some(("c", 3)));
            assert_eq!(server.redis_settings().username(), Some("alice"));
            assert_eq!(server.redis_settings().password(), Some("p@w"));
        }
    }

    #[test]
    fn tls_requires_its_feature() {
        let is_supported = Address::parse("rediss://a:1").is_ok();
        assert_eq!(is_supported, cfg!(feature = "tls"));
    }
}
