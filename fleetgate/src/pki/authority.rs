//! The authority that signs them.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use proto::ResourceKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};

use super::identity::{REPLICA_ID, REPLICA_NAME, spiffe_id};

/// How long the authority itself is valid.
const AUTHORITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How long what it signs is valid.
pub(crate) const LEAF: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Clocks of other machines may be this much behind.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// A certificate, its private key, and what its peer is verified with; all PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    /// The certificate, then those that lead to the authority.
    pub(crate) chain: String,
    /// The private key.
    pub(crate) key: String,
    /// The authorities to trust.
    pub(crate) authorities: String,
}

impl Issued {
    /// True if the private key is that of the certificate.
    pub(crate) fn has_key(&self) -> bool {
        let Ok(key) = KeyPair::from_pem(&self.key) else { return false };
        let leaf = x509_parser::pem::Pem::iter_from_buffer(self.chain.as_bytes()).next().and_then(Result::ok);
        let Some(leaf) = leaf else { return false };
        leaf.parse_x509().is_ok_and(|leaf| leaf.public_key().raw == key.subject_public_key_info())
    }
}

/// A certificate authority with its key.
pub(crate) struct Authority {
    certificate: String,
    trusted: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one; its certificate and key, PEM.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn make(now: SystemTime) -> anyhow::Result<(String, String)> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "fleetgate xDS");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = ((now - SKEW).into(), (now + AUTHORITY).into());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    }

    /// One that was made before, by this or by somebody else; `trusted` are the authorities to trust besides.
    ///
    /// # Errors
    /// If it is not PEM, or the key is of a kind that cannot sign here.
    pub(crate) fn open(certificate: &str, key: &str, trusted: &str) -> anyhow::Result<Authority> {
        let key =
            KeyPair::from_pem(key).context("the authority's tls.key is no private key in PKCS#8 PEM")?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .context("the authority's tls.crt is no certificate in PEM")?;
        let certificate = certificate.trim().to_owned() + "\n";
        let others = trusted.trim();
        let trusted = if certificate.contains(others) {
            certificate.clone()
        } else {
            format!("{certificate}{others}\n")
        };
        Ok(Authority { certificate, trusted, issuer })
    }

    /// The certificate of the one that signs, PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authorities to trust, PEM.
    pub(crate) fn trusted(&self) -> &str {
        &self.trusted
    }

    /// A client certificate for a Gateway's proxies.
    ///
    /// # Errors
    /// If a name has a form that no certificate takes.
    pub(crate) fn proxy(&self, gateway: &ResourceKey, now: SystemTime) -> anyhow::Result<Issued> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(spiffe_id(gateway).try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign("fleetgate proxy", params, now)
    }

    /// The server's certificate, for the names by which proxies call it.
    ///
    /// # Errors
    /// As [`Authority::proxy`].
    pub(crate) fn server(&self, names: &[String], now: SystemTime) -> anyhow::Result<Issued> {
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("fleetgate xDS server", params, now)
    }

    /// A certificate by which replicas know each other, on both sides of a connection.
    ///
    /// # Errors
    /// As [`Authority::proxy`].
    pub(crate) fn replica(&self, now: SystemTime) -> anyhow::Result<Issued> {
        let mut params = CertificateParams::new([REPLICA_NAME.to_owned()])?;
        params.subject_alt_names.push(SanType::URI(REPLICA_ID.to_owned().try_into()?));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign("fleetgate replica", params, now)
    }

    /// Who a certificate is for say its alternative names, which may be longer than a common name: 64 characters.
    fn sign(
        &self,
        common_name: &str,
        mut params: CertificateParams,
        now: SystemTime,
    ) -> anyhow::Result<Issued> {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        (params.not_before, params.not_after) = ((now - SKEW).into(), (now + LEAF).into());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            chain: certificate.pem() + &self.certificate,
            key: key.serialize_pem(),
            authorities: self.trusted.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proto::{Kind, ResourceKey};
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::Authority;
    use crate::pki::gateway_of;

    fn leaf(pem: &str) -> CertificateDer<'static> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).next().unwrap().unwrap()
    }

    #[test]
    fn a_certificate_names_its_gateway_and_the_servers_names_none() {
        let now = SystemTime::now();
        let (certificate, key) = Authority::make(now).unwrap();
        let authority = Authority::open(&certificate, &key, "").unwrap();
        let gateway = ResourceKey::local(Kind::GATEWAY, "infra", "web.example");
        let issued = authority.proxy(&gateway, now).unwrap();
        assert_eq!(gateway_of(Some(&leaf(&issued.chain))), Ok(gateway));
        let server = authority.server(&["fleetgate.system.svc".to_owned()], now).unwrap();
        assert!(gateway_of(Some(&leaf(&server.chain))).unwrap_err().contains("names no Gateway"));
        assert!(gateway_of(None).unwrap_err().contains("no client certificate"));
        assert!(gateway_of(Some(b"x")).is_err());
    }

    #[test]
    fn subjects_are_legal_however_long_the_names() {
        let now = SystemTime::now();
        let (certificate, key) = Authority::make(now).unwrap();
        let authority = Authority::open(&certificate, &key, "").unwrap();
        let gateway = ResourceKey::local(Kind::GATEWAY, "n".repeat(63).as_str(), "g".repeat(253).as_str());
        let service = format!("{}.{}.svc", "s".repeat(63), "n".repeat(63));
        let issued = [authority.proxy(&gateway, now).unwrap(), authority.server(&[service], now).unwrap()];
        let subjects = issued.map(|issued| {
            let der = leaf(&issued.chain);
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            certificate.subject().to_string()
        });
        assert_eq!(subjects, ["CN=fleetgate proxy", "CN=fleetgate xDS server"]);
        assert_eq!(gateway_of(Some(&leaf(&authority.proxy(&gateway, now).unwrap().chain))), Ok(gateway));
    }

    #[test]
    fn an_older_authority_stays_trusted() {
        let now = SystemTime::now();
        let (old, _) = Authority::make(now).unwrap();
        let (new, key) = Authority::make(now).unwrap();
        let authority = Authority::open(&new, &key, &old).unwrap();
        assert!(authority.trusted().contains(new.trim()) && authority.trusted().contains(old.trim()));
        assert_eq!(Authority::open(&new, &key, &new).unwrap().trusted(), new.trim().to_owned() + "\n");
        assert!(Authority::open("x", &key, "").is_err());
    }
}
