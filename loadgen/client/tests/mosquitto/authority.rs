//! Certificates for the tests, made with openssl once for each run: an authority, servers and a client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory with `NAME.pem` and `NAME.key` for `ca`, `other-ca`, `server`, `elsewhere` and `client`.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let name = format!("authority-{}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["ca", "other-ca"] {
            openssl(
                &directory,
                &format!("req -x509 {KEY} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 30"),
            );
        }
        sign(&directory, "server", "DNS:localhost,IP:127.0.0.1");
        sign(&directory, "elsewhere", "DNS:elsewhere.example");
        sign(&directory, "client", "DNS:client.example");
        directory
    })
}

pub fn path(name: &str) -> PathBuf {
    directory().join(name)
}

fn sign(directory: &Path, name: &str, names: &str) {
    std::fs::write(directory.join(format!("{name}.ext")), format!("subjectAltName={names}\n")).unwrap();
    openssl(directory, &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
    let signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 30";
    openssl(directory, &format!("x509 -req -in {name}.csr {signing} -extfile {name}.ext -out {name}.pem"));
}

fn openssl(directory: &Path, arguments: &str) {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let output = run.expect("these tests need openssl: install it");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
