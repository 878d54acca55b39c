//! Certificates and keys for the peers, made by the `openssl` program, in a folder that goes away again.

use super::setup::Key;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The folder and what the certificates are known by.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    fingerprints: Vec<(Key, String)>,
}

impl Files {
    /// Makes them; with the databases of NSS if its programs take part.
    pub async fn make(nss: bool) -> Result<Files, String> {
        let folder = std::env::temp_dir().join(format!("dunlin-dtls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut files = Files {
            folder,
            fingerprints: Vec::new(),
        };
        for key in Key::ALL {
            files.certificate(key).await?;
        }
        if nss {
            files.nss_database().await?;
        }
        Ok(files)
    }

    pub fn certificate_file(&self, key: Key) -> PathBuf {
        self.folder.join(format!("{}.crt", key.name()))
    }

    pub fn key_file(&self, key: Key) -> PathBuf {
        self.folder.join(format!("{}.key", key.name()))
    }

    /// The same for programs that want DER.
    pub fn der(&self, key: Key) -> PathBuf {
        self.folder.join(format!("{}.crt.der", key.name()))
    }

    pub fn key_der(&self, key: Key) -> PathBuf {
        self.folder.join(format!("{}.key.der", key.name()))
    }

    /// The folder of the NSS database; the certificates in it are called as their keys.
    pub fn nss(&self) -> PathBuf {
        self.folder.join("nss")
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// As in a session description: `sha-256 AB:CD:…`.
    pub fn fingerprint(&self, key: Key) -> String {
        let known = self.fingerprints.iter().find(|(of, _)| *of == key);
        known.map(|(_, text)| text.clone()).unwrap_or_default()
    }

    async fn certificate(&mut self, key: Key) -> Result<(), String> {
        let new_key: &[&str] = match key {
            Key::P256 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Key::P384 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Key::P521 => &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            Key::Ed25519 => &["ed25519"],
            Key::Rsa => &["rsa:2048"],
        };
        let (certificate, key_file) = (self.certificate_file(key), self.key_file(key));
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-nodes", "-days", "30", "-newkey"])
            .args(new_key)
            .arg("-subj")
            .arg(format!("/CN={}", key.name()))
            .arg("-keyout")
            .arg(key_file)
            .arg("-out")
            .arg(&certificate);
        output(make).await?;
        let mut print = Command::new("openssl");
        print
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(certificate);
        let printed = output(print).await?;
        let (_, value) = printed
            .trim()
            .split_once('=')
            .ok_or("openssl printed no fingerprint")?;
        self.fingerprints.push((key, format!("sha-256 {value}")));
        self.in_der(key).await
    }

    async fn in_der(&self, key: Key) -> Result<(), String> {
        let mut certificate = Command::new("openssl");
        certificate
            .args(["x509", "-outform", "DER", "-in"])
            .arg(self.certificate_file(key))
            .arg("-out")
            .arg(self.der(key));
        output(certificate).await?;
        let mut private = Command::new("openssl");
        private
            .args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"])
            .arg(self.key_file(key))
            .arg("-out")
            .arg(self.key_der(key));
        output(private).await.map(drop)
    }

    async fn nss_database(&self) -> Result<(), String> {
        let folder = self.nss();
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let database = format!("sql:{}", folder.display());
        let mut make = Command::new("certutil");
        make.args(["-N", "--empty-password", "-d", &database]);
        output(make).await?;
        for key in Key::ALL {
            if key == Key::Ed25519 {
                continue;
            }
            let bundle = self.folder.join(format!("{}.p12", key.name()));
            let mut pack = Command::new("openssl");
            pack.args([
                "pkcs12",
                "-export",
                "-passout",
                "pass:",
                "-name",
                key.name(),
                "-inkey",
            ])
            .arg(self.key_file(key))
            .arg("-in")
            .arg(self.certificate_file(key))
            .arg("-out")
            .arg(&bundle);
            output(pack).await?;
            let mut import = Command::new("pk12util");
            import.args(["-d", &database, "-W", "", "-i"]).arg(&bundle);
            output(import).await?;
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs a program to its end; what it printed, or why it failed.
async fn output(mut command: Command) -> Result<String, String> {
    let program = command.as_std().get_program().display().to_string();
    let result = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            format!("{program} could not be started: {error} (`cargo xtask setup` installs it)")
        })?;
    if result.status.success() {
        return Ok(String::from_utf8_lossy(&result.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&result.stderr).into_owned();
    Err(format!("{program} failed ({}): {errors}", result.status))
}
