//! The archive: an OCI image layout with the additional file of a docker-archive, which older tools read.
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use super::content::Image;
use super::layer;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The digest of the manifest, by which an image is pulled and pinned: `sha256:...`.
    pub digest: String,
    /// Bytes that a node has to fetch.
    pub compressed: u64,
    /// Bytes on the node's disk.
    pub uncompressed: u64,
}

struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Blob {
    fn json(media_type: &'static str, value: &Value) -> Self {
        Self { media_type, bytes: value.to_string().into_bytes() }
    }

    fn hex(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hex())
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": format!("sha256:{}", self.hex()), "size": self.bytes.len()})
    }
}

impl Image {
    /// Writes it as an archive under one or more names such as `example.com/name:tag`.
    ///
    /// # Errors
    /// When a name has no tag or the file cannot be written.
    pub fn write(&self, names: &[&str], file: &Path) -> Result<Written> {
        write(self, names, file)
    }
}

fn write(image: &Image, names: &[&str], file: &Path) -> Result<Written> {
    let tar = layer::tar(&image.entries, image.time)?;
    let layer = Blob { media_type: "application/vnd.oci.image.layer.v1.tar+gzip", bytes: compress(&tar)? };
    let config = Blob::json("application/vnd.oci.image.config.v1+json", &configuration(image, &hex::encode(Sha256::digest(&tar)))?);
    let manifest = Blob::json(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(), "layers": [layer.descriptor()],
        }),
    );
    let mut index = Vec::new();
    for name in names {
        let (_, tag) = name.rsplit_once(':').with_context(|| format!("{name} has no tag: write NAME:TAG"))?;
        let mut descriptor = manifest.descriptor();
        if let Some(fields) = descriptor.as_object_mut() {
            fields.insert("platform".to_owned(), json!({"architecture": image.architecture.name(), "os": "linux"}));
            let annotations = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
            fields.insert("annotations".to_owned(), annotations);
        }
        index.push(descriptor);
    }
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index});
    let docker = json!([{"Config": config.path(), "RepoTags": names, "Layers": [layer.path()]}]);

    let written =
        Written { digest: format!("sha256:{}", manifest.hex()), compressed: layer.bytes.len() as u64, uncompressed: tar.len() as u64 };
    let target = File::create(file).with_context(|| format!("{} cannot be written", file.display()))?;
    let mut archive = Builder::new(BufWriter::new(target));
    add(&mut archive, image.time, "oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
    add(&mut archive, image.time, "index.json", index.to_string().as_bytes())?;
    add(&mut archive, image.time, "manifest.json", docker.to_string().as_bytes())?;
    for blob in [manifest, config, layer] {
        add(&mut archive, image.time, &blob.path(), &blob.bytes)?;
    }
    archive.into_inner()?.flush()?;
    Ok(written)
}

fn configuration(image: &Image, layer: &str) -> Result<Value> {
    let created = Timestamp::from_second(i64::try_from(image.time)?)?.to_string();
    Ok(json!({
        "created": created, "architecture": image.architecture.name(), "os": "linux",
        "config": {"User": image.user, "Entrypoint": image.entrypoint, "Env": ["PATH=/"], "WorkingDir": "/", "Labels": image.labels},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created": created, "created_by": "xtask image"}],
    }))
}

/// Without the name and the time that gzip can keep.
fn compress(tar: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(tar)?;
    Ok(gzip.finish()?)
}

fn add(archive: &mut Builder<impl Write>, time: u64, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(bytes.len() as u64);
    Ok(archive.append_data(&mut header, path, bytes)?)
}
