//! An authority for the certificates of one test, with its files in the broker's folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};

pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(folder: &Path) -> Authority {
        Authority::named(folder, "Authority of a test")
    }

    /// Beside others: lists of revocations are told apart by the names of their authorities.
    pub fn named(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { folder: folder.to_owned(), issuer };
        fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    /// For those who are to trust it.
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Of its certificate, or of one that it has issued.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes `<name>.pem` and `<name>.key`, for 127.0.0.1 and the name itself.
    pub fn issue(&self, name: &str) {
        self.issue_as(name, KeyPair::generate().unwrap(), |_| {});
    }

    pub fn issue_rsa(&self, name: &str) {
        self.issue_as(name, KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), |_| {});
    }

    /// One whose time is over.
    pub fn issue_expired(&self, name: &str) {
        self.issue_as(name, KeyPair::generate().unwrap(), |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        });
    }

    /// One whose time has not come.
    pub fn issue_for_later(&self, name: &str) {
        self.issue_as(name, KeyPair::generate().unwrap(), |params| {
            params.not_before = date_time_ymd(3001, 1, 1);
            params.not_after = date_time_ymd(3002, 1, 1);
        });
    }

    /// With the authority's consent to whatever is changed in it.
    pub fn issue_as(&self, name: &str, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) {
        let names = [name, "localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial_number(name));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(name, &certificate.pem(), &key);
    }

    /// One that its own key has signed.
    pub fn issue_by_itself(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        self.write(name, &certificate.pem(), &key);
    }

    /// Writes `crl.pem`, by which the certificates of these names count no more.
    pub fn revoke(&self, names: &[&str]) {
        let revoked = |name: &&str| RevokedCertParams {
            serial_number: serial_number(name),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(3000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: names.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(self.path("crl.pem"), list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) {
        fs::write(self.path(&format!("{name}.pem")), certificate).unwrap();
        let key_file = self.path(&format!("{name}.key"));
        fs::write(&key_file, key.serialize_pem()).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The name itself, so that a certificate can be revoked by its name.
fn serial_number(name: &str) -> SerialNumber {
    let bytes = name.bytes().take(SERIAL_NUMBER_BYTES_MAX);
    SerialNumber::from_slice(&bytes.collect::<Vec<u8>>())
}

const SERIAL_NUMBER_BYTES_MAX: usize = 20;
