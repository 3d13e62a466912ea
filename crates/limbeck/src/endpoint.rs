//! A classifier behind HTTP.
//!
//! `POST` with `{"texts": [["a sentence"], ["first of a pair", "second"]]}`; the answer is
//! `{"probabilities": [[0.1, 0.9], [0.7, 0.3]]}`, a row per text in order, a number per label in the order of `data.labels`,
//! each row with sum 1. Connection errors, timeouts, 408, 429 and 5xx are tried again after a growing pause; `Retry-After` in
//! seconds is respected. Where that does not help, and on 401, 403, 404, 405, 410 and answers of another shape, nobody is asked
//! any more; any other failure is that of the texts asked about.

use std::cell::RefCell;
use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use limbeck_attack::{Distribution, Victim};
use limbeck_text::{BoxError, Text};
use serde::Deserialize;
use serde_json::json;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer, whatever the endpoint asks for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EndpointConfig {
    /// Where.
    pub(crate) url: String,
    /// Labels per row.
    pub(crate) label_count: usize,
    /// Texts per request.
    pub(crate) batch: usize,
    /// Longest wait for an answer.
    pub(crate) timeout: Duration,
    /// Tries after the first.
    pub(crate) retries: u32,
    /// Most requests per second.
    pub(crate) requests_per_s: Option<f64>,
}

/// A classifier behind HTTP.
pub(crate) struct Endpoint {
    config: EndpointConfig,
    agent: ureq::Agent,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// When the last request began.
    last: Option<Instant>,
    /// Why the endpoint is given up: nobody waits for it again.
    given_up: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    probabilities: Vec<Vec<f64>>,
}

enum Failure {
    /// May go better next time; the pause that the endpoint asks for.
    Passing(String, Option<Duration>),
    /// Will not for these texts; others may be answered.
    OfTheseTexts(String),
    /// Will not for any text.
    Lasting(String),
}

impl Endpoint {
    pub(crate) fn new(config: EndpointConfig) -> Self {
        let agent = ureq::AgentBuilder::new().timeout(config.timeout).build();
        Self {
            config,
            agent,
            state: RefCell::default(),
        }
    }

    fn ask(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        if let Some(reason) = &self.state.borrow().given_up {
            return Err(reason.clone().into());
        }
        let mut pause = FIRST_PAUSE;
        let mut tried = 0;
        let reason = loop {
            self.keep_rate();
            match self.try_once(texts) {
                Ok(answers) => return Ok(answers),
                Err(Failure::Lasting(reason)) => break reason,
                Err(Failure::OfTheseTexts(reason)) => {
                    return Err(format!("{}: {reason}", self.config.url).into());
                }
                Err(Failure::Passing(reason, _)) if tried == self.config.retries => break reason,
                Err(Failure::Passing(_, asked)) => {
                    sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE));
                    pause = pause.saturating_mul(2);
                    tried += 1;
                }
            }
        };
        let url = &self.config.url;
        let tries = tried + 1;
        let reason = format!(
            "{url}: {reason} (tried {tries} times); check the endpoint, then run the same command again to go on"
        );
        self.state.borrow_mut().given_up = Some(reason.clone());
        Err(reason.into())
    }

    fn keep_rate(&self) {
        let Some(rate) = self.config.requests_per_s else {
            return;
        };
        let mut state = self.state.borrow_mut();
        if let Some(last) = state.last {
            let due = last + Duration::from_secs_f64(1.0 / rate);
            sleep(due.saturating_duration_since(Instant::now()));
        }
        state.last = Some(Instant::now());
    }

    fn try_once(&self, texts: &[Text]) -> Result<Vec<Distribution>, Failure> {
        let columns = |text: &Text| match &text.second {
            Some(second) => json!([text.first, second]),
            None => json!([text.first]),
        };
        let body = json!({ "texts": texts.iter().map(columns).collect::<Vec<_>>() });
        let request = self.agent.post(&self.config.url);
        let request = request.set("Content-Type", "application/json");
        let response = match request.send_string(&body.to_string()) {
            Ok(response) => response,
            Err(ureq::Error::Status(status, response)) => {
                let reason = format!("status {status}");
                match status {
                    // No access, no such place, no such method.
                    401 | 403 | 404 | 405 | 410 => return Err(Failure::Lasting(reason)),
                    408 | 429 | 500.. => {}
                    _ => return Err(Failure::OfTheseTexts(reason)),
                }
                let asked = response.header("Retry-After").and_then(|s| s.parse().ok());
                return Err(Failure::Passing(reason, asked.map(Duration::from_secs)));
            }
            Err(ureq::Error::Transport(error)) => {
                return Err(Failure::Passing(error.to_string(), None));
            }
        };
        let mut text = String::new();
        let read = response
            .into_reader()
            .take(MAX_ANSWER_BYTES)
            .read_to_string(&mut text);
        read.map_err(|error| Failure::Passing(format!("the answer broke off: {error}"), None))?;
        let answer: Answer = serde_json::from_str(&text).map_err(|error| {
            let expected = "`{\"probabilities\": [[..]]}`";
            Failure::Lasting(format!("the answer is not {expected}: {error}"))
        })?;
        self.check(answer.probabilities, texts.len())
            .map_err(Failure::OfTheseTexts)
    }

    fn check(&self, rows: Vec<Vec<f64>>, count: usize) -> Result<Vec<Distribution>, String> {
        let labels = self.config.label_count;
        if rows.len() != count {
            return Err(format!(
                "{} rows for {count} texts, expected one each",
                rows.len()
            ));
        }
        let distribution = |row: Vec<f64>| {
            let found = row.len();
            if found != labels {
                return Err(format!(
                    "a row of {found} numbers, expected one per label, {labels}"
                ));
            }
            let shown = format!("{row:?}");
            let row = Distribution::double(row);
            if row.is_valid() {
                Ok(row)
            } else {
                Err(format!(
                    "the row {shown} is not a distribution, expected sum 1"
                ))
            }
        };
        rows.into_iter().map(distribution).collect()
    }
}

impl Victim for Endpoint {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        let mut answers = Vec::with_capacity(texts.len());
        for part in texts.chunks(self.config.batch.max(1)) {
            answers.extend(self.ask(part)?);
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{JoinHandle, spawn};

    use super::*;

    const GOOD: &str = "{\"probabilities\": [[0.25, 0.75], [0.5, 0.5]]}";

    /// Answers one connection after another; `None` lets the client wait. Gives back what was asked.
    fn serve(answers: Vec<Option<(u16, &'static str)>>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/predict", listener.local_addr().unwrap());
        let server = spawn(move || {
            let mut asked = Vec::new();
            let mut waiting = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line == "\r\n" {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                asked.push(String::from_utf8(body).unwrap());
                match answer {
                    Some((status, text)) => {
                        let length = text.len();
                        let head = format!(
                            "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                        );
                        stream.write_all((head + text).as_bytes()).unwrap();
                    }
                    None => waiting.push(stream),
                }
            }
            asked
        });
        (url, server)
    }

    fn endpoint(url: String, retries: u32) -> Endpoint {
        Endpoint::new(EndpointConfig {
            url,
            label_count: 2,
            batch: 8,
            timeout: Duration::from_millis(500),
            retries,
            requests_per_s: Some(1000.0),
        })
    }

    fn texts() -> Vec<Text> {
        vec![Text::single("a \"b\""), Text::pair("p", "h")]
    }

    #[test]
    fn texts_go_and_probabilities_come() {
        let (url, server) = serve(vec![Some((200, GOOD))]);
        let answers = endpoint(url, 0).query(&texts()).unwrap();
        assert_eq!(answers[0].probabilities(), [0.25, 0.75]);
        assert_eq!(
            server.join().unwrap(),
            [r#"{"texts":[["a \"b\""],["p","h"]]}"#]
        );
    }

    #[test]
    fn a_failure_that_passes_is_tried_again() {
        let (url, server) = serve(vec![Some((503, "")), None, Some((200, GOOD))]);
        assert_eq!(endpoint(url, 2).query(&texts()).unwrap().len(), 2);
        assert_eq!(server.join().unwrap().len(), 3);
    }

    #[test]
    fn an_endpoint_that_does_not_answer_is_given_up() {
        let (url, server) = serve(vec![None, None]);
        let endpoint = endpoint(url, 1);
        let error = endpoint.query(&texts()).unwrap_err().to_string();
        assert!(error.contains("tried 2 times"), "{error}");
        // The server has gone; a second question does not wait for it.
        server.join().unwrap();
        let begun = Instant::now();
        assert_eq!(endpoint.query(&texts()).unwrap_err().to_string(), error);
        assert!(begun.elapsed() < Duration::from_millis(200));
    }

    #[test]
    fn a_text_that_is_refused_costs_no_other_its_answer() {
        let (url, server) = serve(vec![Some((422, "")), Some((200, GOOD))]);
        let endpoint = endpoint(url, 3);
        let error = endpoint.query(&texts()).unwrap_err().to_string();
        assert!(error.contains("status 422"), "{error}");
        assert_eq!(endpoint.query(&texts()).unwrap().len(), 2);
        assert_eq!(server.join().unwrap().len(), 2);
    }

    #[test]
    fn wrong_shapes_are_named_and_not_tried_again() {
        for (status, text, expected) in [
            (
                200,
                "{\"probabilities\": [[0.5, 0.5]]}",
                "1 rows for 2 texts",
            ),
            (
                200,
                "{\"probabilities\": [[1.0], [1.0]]}",
                "a row of 1 numbers",
            ),
            (
                200,
                "{\"probabilities\": [[0.9, 0.9], [1, 0]]}",
                "not a distribution",
            ),
            (200, "{\"logits\": []}", "missing field `probabilities`"),
            (404, "", "status 404"),
        ] {
            let (url, server) = serve(vec![Some((status, text))]);
            let error = endpoint(url, 3).query(&texts()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            server.join().unwrap();
        }
    }
}
