//! Where a model's files are: a folder, a finished run, or the Hugging Face hub and its cache.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde_json::Value;

use crate::ModelError;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const DEFAULT_REVISION: &str = "main";

/// Where a model is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder with `config.json`.
    Folder(PathBuf),
    /// A repository on the hub.
    Hub {
        /// `organisation/name`, or a bare `name` for the oldest models.
        id: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// A run's directory, with the model in `model/`.
    Run(PathBuf),
}

/// How to reach the hub and its cache: what Hugging Face's own tools read from the environment.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// The folder of the cache.
    pub cache: PathBuf,
    /// The hub's address, without a final slash.
    pub endpoint: String,
    /// The key to private and gated models.
    pub token: Option<String>,
    /// Whether the hub may be asked.
    pub network: Network,
}

/// Whether files may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// What the cache lacks is fetched.
    Online,
    /// Only the cache is used.
    Offline,
}

/// How far the download of one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes here by now.
    pub received: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Finds a model's folder, fetching what is needed of a hub model that the cache lacks.
///
/// `name`: a folder with `config.json`, a run with `model/config.json`, or a hub id, with `@revision` at will. A cached model is
/// used as it is, without asking for a newer one. Only `config.json`, the tokenizer's files and the safetensors weights are fetched.
pub fn resolve(
    name: &str,
    settings: &HubSettings,
    observe: &mut dyn FnMut(Download<'_>),
) -> Result<PathBuf, ModelError> {
    match ModelSource::locate(name)? {
        ModelSource::Folder(folder) => Ok(folder),
        ModelSource::Run(run) => Ok(run.join("model")),
        ModelSource::Hub { id, revision } => HubModel {
            id: &id,
            revision: &revision,
            settings,
        }
        .folder(observe),
    }
}

impl ModelSource {
    /// Tells what a name means; what is on this disk comes before the hub.
    pub fn locate(name: &str) -> Result<Self, ModelError> {
        let path = Path::new(name);
        if path.join(CONFIG).is_file() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if path.join("model").join(CONFIG).is_file() {
            return Ok(Self::Run(path.to_owned()));
        }
        let unknown = |found: &str| ModelError::UnknownModel {
            name: name.to_owned(),
            found: found.to_owned(),
        };
        if path.is_dir() {
            return Err(unknown("found a folder without them"));
        }
        if path.exists() {
            return Err(unknown("found a file"));
        }
        let (id, revision) = name.split_once('@').unwrap_or((name, DEFAULT_REVISION));
        if is_hub_id(id) && is_revision(revision) {
            return Ok(Self::Hub {
                id: id.to_owned(),
                revision: revision.to_owned(),
            });
        }
        Err(unknown("found nothing"))
    }
}

impl HubSettings {
    /// Reads the variables that Hugging Face's tools know, through `variable`, with their defaults.
    ///
    /// `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HOME` (`USERPROFILE`) for the cache; `HF_ENDPOINT`; `HF_TOKEN`, or the file that
    /// `HF_TOKEN_PATH` names, or `token` in `HF_HOME`; `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE`.
    pub fn from_env_map(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let user_cache = || {
            let home = set("HOME")
                .or_else(|| set("USERPROFILE"))
                .map_or_else(PathBuf::new, PathBuf::from);
            set("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from)
        };
        let home = set("HF_HOME").map_or_else(|| user_cache().join("huggingface"), PathBuf::from);
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE"));
        let token_file = set("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let token = set("HF_TOKEN").or_else(|| fs_err::read_to_string(token_file).ok());
        let is_on = |name: &str| {
            set(name).is_some_and(|value| {
                ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
            })
        };
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self {
            cache: cache.map_or_else(|| home.join("hub"), PathBuf::from),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            network: if is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE") {
                Network::Offline
            } else {
                Network::Online
            },
        }
    }
}

/// Leaves the token out.
impl fmt::Debug for HubSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "..");
        formatter
            .debug_struct("HubSettings")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &token)
            .field("network", &self.network)
            .finish()
    }
}

struct HubModel<'a> {
    id: &'a str,
    revision: &'a str,
    settings: &'a HubSettings,
}

impl HubModel<'_> {
    fn folder(&self, observe: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
        if let Some(folder) = self.cached() {
            return Ok(folder);
        }
        if self.settings.network == Network::Offline {
            return Err(ModelError::NotCached {
                id: self.id.to_owned(),
                revision: self.revision.to_owned(),
                cache: self.settings.cache.clone(),
            });
        }
        self.fetch(observe)
    }

    /// The snapshot in the cache, if it is complete.
    fn cached(&self) -> Option<PathBuf> {
        let repository = Repo::with_revision(
            self.id.to_owned(),
            RepoType::Model,
            self.revision.to_owned(),
        );
        let folder = self.settings.cache.join(repository.folder_name());
        let commit = fs_err::read_to_string(folder.join("refs").join(self.revision)).ok();
        // A commit needs no reference to itself.
        let commit = commit.as_deref().map_or(self.revision, str::trim);
        let snapshot = folder.join("snapshots").join(commit);
        is_complete(&snapshot).then_some(snapshot)
    }

    fn fetch(&self, observe: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
        let cache = Cache::new(self.settings.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(self.settings.endpoint.clone())
            .with_token(self.settings.token.clone())
            .with_progress(false)
            .with_retries(2)
            .build()
            .map_err(|source| self.failed("its client", source))?;
        let at = |revision: &str| {
            Repo::with_revision(self.id.to_owned(), RepoType::Model, revision.to_owned())
        };
        let information = api
            .repo(at(self.revision))
            .info()
            .map_err(|source| self.failed("the list of files", source))?;
        // All files from one commit, even when the branch moves meanwhile.
        let commit = information.sha;
        let there: BTreeSet<String> = information
            .siblings
            .into_iter()
            .map(|sibling| sibling.rfilename)
            .collect();
        let repository = api.repo(at(&commit));
        let mut get = |file: &str| self.get(&cache, &repository, &at(&commit), file, observe);

        let small = self.small_files(&there)?;
        // Weights last: complete weights in the cache mean that all the rest is there.
        for file in small {
            get(file)?;
        }
        if there.contains(WEIGHTS) {
            get(WEIGHTS)?;
        } else {
            let index = get(WEIGHTS_INDEX)?;
            for shard in shards(&index).unwrap_or_default() {
                get(&shard)?;
            }
        }
        let write = |source| ModelError::Write { source };
        cache
            .repo(at(self.revision))
            .create_ref(&commit)
            .map_err(write)?;
        self.cached().ok_or_else(|| {
            self.unusable(
                "model.safetensors with all its shards",
                "the upload is incomplete",
            )
        })
    }

    /// Configuration and tokenizer, as far as the hub has them.
    fn small_files(&self, there: &BTreeSet<String>) -> Result<Vec<&'static str>, ModelError> {
        let has = |file: &str| there.contains(file);
        if !has(CONFIG) {
            return Err(self.unusable(
                CONFIG,
                "choose a repository that holds a model for transformers",
            ));
        }
        if !has(WEIGHTS) && !has(WEIGHTS_INDEX) {
            let advice = if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
                "its pytorch_model.bin is not read; save the model again with transformers' `save_pretrained`, or try the revision `refs/pr/1`"
            } else {
                "choose a repository that holds a model for transformers"
            };
            return Err(self.unusable(WEIGHTS, advice));
        }
        let tokenizer: &[&str] = if has("tokenizer.json") {
            &["tokenizer.json"]
        } else if has("vocab.txt") {
            &["vocab.txt"]
        } else if has("vocab.json") && has("merges.txt") {
            &["vocab.json", "merges.txt"]
        } else {
            return Err(self.unusable("tokenizer", "choose a repository with `tokenizer.json`, `vocab.txt`, or `vocab.json` and `merges.txt`"));
        };
        let settings = [CONFIG, "tokenizer_config.json", "special_tokens_map.json"];
        Ok(settings
            .into_iter()
            .filter(|file| has(file))
            .chain(tokenizer.iter().copied())
            .collect())
    }

    /// One file, from the cache when it is there.
    fn get(
        &self,
        cache: &Cache,
        api: &ApiRepo,
        repository: &Repo,
        file: &str,
        observe: &mut dyn FnMut(Download<'_>),
    ) -> Result<PathBuf, ModelError> {
        if let Some(path) = cache.repo(repository.clone()).get(file) {
            return Ok(path);
        }
        let meter = Meter {
            file: String::new(),
            received: 0,
            total: 0,
            observe,
        };
        api.download_with_progress(file, meter)
            .map_err(|source| self.failed(file, source))
    }

    fn failed(&self, file: &str, error: ApiError) -> ModelError {
        let (id, revision) = (self.id.to_owned(), self.revision.to_owned());
        let endpoint = self.settings.endpoint.clone();
        let download = |source| ModelError::Download {
            id: id.clone(),
            revision: revision.clone(),
            file: file.to_owned(),
            endpoint: endpoint.clone(),
            source,
        };
        let ApiError::RequestError(request) = error else {
            return download(error.into());
        };
        let text = request.to_string();
        match request.into_response().map(|response| response.status()) {
            Some(status @ (401 | 403 | 404)) => ModelError::NotOnHub {
                id,
                revision,
                endpoint,
                status,
            },
            _ => download(text.into()),
        }
    }

    fn unusable(&self, wanted: &'static str, advice: &'static str) -> ModelError {
        ModelError::NotUsable {
            id: self.id.to_owned(),
            revision: self.revision.to_owned(),
            wanted,
            advice,
        }
    }
}

/// Whether a folder holds configuration, weights and a tokenizer.
fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).is_file();
    let has_weights = has(WEIGHTS)
        || shards(&folder.join(WEIGHTS_INDEX))
            .is_some_and(|shards| shards.iter().all(|shard| has(shard)));
    let has_tokenizer =
        has("tokenizer.json") || has("vocab.txt") || has("vocab.json") && has("merges.txt");
    has(CONFIG) && has_weights && has_tokenizer
}

/// Names of the weight files that an index lists; `None` when it lists none or others than plain names.
fn shards(index: &Path) -> Option<BTreeSet<String>> {
    let index: Value = serde_json::from_slice(&fs_err::read(index).ok()?).ok()?;
    let names = index.get("weight_map")?.as_object()?.values();
    let shards: Option<BTreeSet<String>> =
        names.map(|name| name.as_str().map(str::to_owned)).collect();
    shards.filter(|shards| !shards.is_empty() && shards.iter().all(|shard| is_name(shard)))
}

/// `name` or `organisation/name`.
fn is_hub_id(id: &str) -> bool {
    let mut parts = id.split('/');
    parts.by_ref().take(2).all(is_name) && parts.next().is_none()
}

/// A branch, tag, commit or `refs/pr/1`.
fn is_revision(revision: &str) -> bool {
    revision.split('/').all(is_name)
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Counts a download's bytes for the observer.
struct Meter<'a> {
    file: String,
    received: u64,
    total: u64,
    observe: &'a mut dyn FnMut(Download<'_>),
}

impl Meter<'_> {
    fn report(&mut self) {
        (self.observe)(Download {
            file: &self.file,
            received: self.received,
            total: self.total,
        });
    }
}

impl Progress for Meter<'_> {
    fn init(&mut self, size: usize, filename: &str) {
        filename.clone_into(&mut self.file);
        (self.received, self.total) = (0, size as u64);
        self.report();
    }

    fn update(&mut self, size: usize) {
        self.received += size as u64;
        self.report();
    }

    fn finish(&mut self) {
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A hub on this machine; the requests it saw, in order.
    struct Hub {
        endpoint: String,
        requests: Arc<Mutex<Vec<String>>>,
    }

    impl Hub {
        fn start(files: &'static [(&'static str, &'static str)]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&requests);
            // Ends with the test's process; bounded all the same.
            std::thread::spawn(move || {
                for stream in listener.incoming().take(200).flatten() {
                    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    let request = lines.next().unwrap_or_default();
                    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    seen.lock().unwrap().push(path.clone());
                    let _ = (&stream).write_all(answer(files, &path, &headers).as_bytes());
                }
            });
            Self { endpoint, requests }
        }

        fn settings(&self, cache: &Path, network: Network) -> HubSettings {
            HubSettings {
                cache: cache.to_owned(),
                endpoint: self.endpoint.clone(),
                token: None,
                network,
            }
        }

        fn take_requests(&self) -> Vec<String> {
            std::mem::take(&mut self.requests.lock().unwrap())
        }
    }

    fn answer(files: &[(&str, &str)], path: &str, headers: &[String]) -> String {
        let ending = "Connection: close\r\n\r\n";
        if let Some(revision) = path.strip_prefix("/api/models/org/model/revision/") {
            if revision == "gone" {
                return format!("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{ending}");
            }
            let siblings: Vec<Value> = files
                .iter()
                .map(|(name, _)| serde_json::json!({"rfilename": name}))
                .collect();
            let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
            return format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{ending}{body}",
                body.len()
            );
        }
        let found = path
            .strip_prefix(&format!("/org/model/resolve/{COMMIT}/"))
            .and_then(|name| files.iter().find(|(known, _)| *known == name));
        let Some((name, contents)) = found else {
            return format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n{ending}");
        };
        let range = headers.iter().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        });
        let range = range.unwrap_or_default();
        let (start, end) = range.split_once('-').unwrap_or_default();
        let start: usize = start.parse().unwrap_or(0);
        let end = end
            .parse()
            .map_or(contents.len(), |end: usize| contents.len().min(end + 1));
        let body = &contents[start..end];
        format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"{name}-tag\"\r\nX-Repo-Commit: {COMMIT}\r\n\
             Content-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n{ending}{body}",
            end.max(1) - 1,
            contents.len(),
            body.len()
        )
    }

    const WHOLE: &[(&str, &str)] = &[
        ("README.md", "a model"),
        ("config.json", "{\"model_type\": \"bert\"}"),
        ("model.safetensors", "the weights"),
        ("pytorch_model.bin", "others"),
        ("tokenizer.json", "{\"version\": \"1.0\"}"),
        ("tokenizer_config.json", "{}"),
        ("vocab.txt", "[PAD]"),
    ];

    fn message(error: &ModelError, hub: &Hub, cache: &Path) -> String {
        let source = error
            .source()
            .map(|source| format!("\n{source}"))
            .unwrap_or_default();
        let text = format!("{error}{source}").replace(&hub.endpoint, "http://hub");
        text.replace(&cache.display().to_string(), "cache")
    }

    #[test]
    fn a_hub_model_is_fetched_once_and_only_what_is_needed() {
        let (hub, cache) = (Hub::start(WHOLE), tempfile::tempdir().unwrap());
        let online = hub.settings(cache.path(), Network::Online);
        let mut seen = Vec::new();
        let folder = resolve("org/model", &online, &mut |download| {
            seen.push((download.file.to_owned(), download.received, download.total));
        });
        let folder = folder.unwrap();
        assert!(
            seen.contains(&("model.safetensors".to_owned(), 11, 11)),
            "{seen:?}"
        );
        for (name, contents) in WHOLE {
            let is_needed = !["README.md", "pytorch_model.bin", "vocab.txt"].contains(name);
            assert_eq!(
                fs_err::read_to_string(folder.join(name)).ok().as_deref(),
                is_needed.then_some(*contents),
                "{name}"
            );
        }
        assert!(hub.take_requests().len() >= 5);

        for name in [
            "org/model",
            "org/model@main",
            &format!("org/model@{COMMIT}"),
        ] {
            for network in [Network::Online, Network::Offline] {
                let again =
                    resolve(name, &hub.settings(cache.path(), network), &mut |_| {}).unwrap();
                assert_eq!(again, folder);
            }
        }
        assert_eq!(
            hub.take_requests(),
            [""; 0],
            "a cached model needs no request"
        );
    }

    #[test]
    fn a_broken_off_download_is_completed() {
        let (hub, cache) = (Hub::start(WHOLE), tempfile::tempdir().unwrap());
        let online = hub.settings(cache.path(), Network::Online);
        let folder = resolve("org/model", &online, &mut |_| {}).unwrap();
        hub.take_requests();
        fs_err::remove_file(folder.join(WEIGHTS)).unwrap();
        assert_eq!(resolve("org/model", &online, &mut |_| {}).unwrap(), folder);
        let requests = hub.take_requests();
        assert!(
            requests
                .iter()
                .all(|path| path.starts_with("/api/") || path.ends_with(WEIGHTS)),
            "{requests:?}"
        );
    }

    #[test]
    fn shards_are_fetched_by_their_index() {
        let hub = Hub::start(&[
            ("config.json", "{}"),
            ("vocab.txt", "[PAD]"),
            (
                "model.safetensors.index.json",
                r#"{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors", "c": "x-1.safetensors"}}"#,
            ),
            ("x-1.safetensors", "one"),
            ("x-2.safetensors", "two"),
        ]);
        let cache = tempfile::tempdir().unwrap();
        let folder = resolve(
            "org/model@refs/pr/1",
            &hub.settings(cache.path(), Network::Online),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(
            fs_err::read_to_string(folder.join("x-2.safetensors")).unwrap(),
            "two"
        );
        assert!(
            resolve(
                "org/model@refs/pr/1",
                &hub.settings(cache.path(), Network::Offline),
                &mut |_| {}
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_missing_is_explained() {
        let cache = tempfile::tempdir().unwrap();
        let explain = |hub: &Hub, name: &str, network| {
            message(
                &resolve(name, &hub.settings(cache.path(), network), &mut |_| {}).unwrap_err(),
                hub,
                cache.path(),
            )
        };
        let hub = Hub::start(WHOLE);
        insta::assert_snapshot!(explain(&hub, "org/model", Network::Offline), @"org/model@main: no such folder, not in the cache cache either, and downloads are off; unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or give a folder that holds the model");
        insta::assert_snapshot!(explain(&hub, "org/model@gone", Network::Online), @"org/model@gone: no such folder, and http://hub shows no such model (status 404); check the name, and set HF_TOKEN if the model is private or gated");
        insta::assert_snapshot!(explain(&hub, "org/private", Network::Online), @"org/private@main: no such folder, and http://hub shows no such model (status 401); check the name, and set HF_TOKEN if the model is private or gated");
        insta::assert_snapshot!(explain(&hub, "./runs/../none", Network::Online), @"./runs/../none: no model; wanted a folder with `config.json`, a run with `model/config.json`, or a hub id like `organisation/name@revision`, found nothing");
        let pickle = Hub::start(&[
            ("config.json", "{}"),
            ("pytorch_model.bin", "weights"),
            ("vocab.txt", ""),
        ]);
        insta::assert_snapshot!(explain(&pickle, "org/model", Network::Online), @"org/model@main: no model.safetensors on the hub; its pytorch_model.bin is not read; save the model again with transformers' `save_pretrained`, or try the revision `refs/pr/1`");
        let bare = Hub::start(&[("config.json", "{}"), ("model.safetensors", "weights")]);
        insta::assert_snapshot!(explain(&bare, "org/model", Network::Online), @"org/model@main: no tokenizer on the hub; choose a repository with `tokenizer.json`, `vocab.txt`, or `vocab.json` and `merges.txt`");
        let unreachable = Hub {
            endpoint: "http://127.0.0.1:9".to_owned(),
            requests: Arc::default(),
        };
        let text = explain(&unreachable, "org/model", Network::Online);
        insta::assert_snapshot!(text.lines().next().unwrap(), @"org/model@main: no such folder, and the list of files cannot be fetched from http://hub; check the connection and run again, or give a folder that holds the model");
    }

    #[test]
    fn folders_and_runs_come_before_the_hub() {
        let place = tempfile::tempdir().unwrap();
        let (folder, run, empty) = (
            place.path().join("folder"),
            place.path().join("run"),
            place.path().join("empty"),
        );
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::create_dir_all(run.join("model")).unwrap();
        fs_err::create_dir_all(&empty).unwrap();
        fs_err::write(folder.join(CONFIG), "{}").unwrap();
        fs_err::write(run.join("model").join(CONFIG), "{}").unwrap();
        let locate = |path: &Path| ModelSource::locate(&path.display().to_string());
        assert_eq!(
            locate(&folder).unwrap(),
            ModelSource::Folder(folder.clone())
        );
        assert_eq!(locate(&run).unwrap(), ModelSource::Run(run.clone()));
        assert!(
            locate(&empty)
                .unwrap_err()
                .to_string()
                .contains("found a folder without them")
        );
        let hub = |id: &str, revision: &str| ModelSource::Hub {
            id: id.to_owned(),
            revision: revision.to_owned(),
        };
        assert_eq!(
            ModelSource::locate("no-such-organisation/x@v1.0").unwrap(),
            hub("no-such-organisation/x", "v1.0")
        );
        assert_eq!(
            ModelSource::locate("no-such-name").unwrap(),
            hub("no-such-name", "main")
        );
        for name in ["a/b/c", "../x", "a/..", "", "x@", "a b"] {
            assert!(ModelSource::locate(name).is_err(), "{name}");
        }
    }

    #[test]
    fn settings_follow_the_environment_of_hugging_face() {
        let settings = |variables: &[(&str, &str)]| {
            HubSettings::from_env_map(|name| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        let plain = settings(&[("HOME", "/home/a")]);
        assert_eq!(plain.cache, Path::new("/home/a/.cache/huggingface/hub"));
        assert_eq!(
            (plain.endpoint.as_str(), plain.network),
            (DEFAULT_ENDPOINT, Network::Online)
        );
        assert_eq!(
            settings(&[("HOME", "/a"), ("XDG_CACHE_HOME", "/x")]).cache,
            Path::new("/x/huggingface/hub")
        );
        assert_eq!(
            settings(&[("HF_HOME", "/h"), ("HOME", "/a")]).cache,
            Path::new("/h/hub")
        );
        assert_eq!(
            settings(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]).cache,
            Path::new("/c")
        );
        assert_eq!(
            settings(&[("HF_ENDPOINT", "http://mirror/")]).endpoint,
            "http://mirror"
        );
        for (name, value, network) in [
            ("HF_HUB_OFFLINE", "1", Network::Offline),
            ("TRANSFORMERS_OFFLINE", "yes", Network::Offline),
            ("HF_HUB_OFFLINE", "0", Network::Online),
        ] {
            assert_eq!(
                settings(&[(name, value)]).network,
                network,
                "{name}={value}"
            );
        }
        let secret = settings(&[("HF_TOKEN", " hf_x ")]);
        assert_eq!(secret.token.as_deref(), Some("hf_x"));
        assert!(!format!("{secret:?}").contains("hf_x"));
    }
}
