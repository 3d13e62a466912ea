use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use limbeck_text::edit::WordText;
use limbeck_text::{BoxError, Text};

use crate::pool::{Request, answer_all, panic_message};
use crate::worklist::Counts;
use crate::{
    Attack, AttackError, AttackResult, Distribution, Outcome, Victim, Worklist, example_rng,
};

/// An example to be attacked.
#[derive(Clone, Debug)]
pub struct Case {
    /// What results name it by; also chooses its randomness.
    pub id: u64,
    /// The text.
    pub text: WordText,
    /// Its true label, counted from 0.
    pub gold: u32,
}

/// How a data set is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunConfig {
    /// Which examples.
    pub worklist: Worklist,
    /// Seed of all randomness.
    pub seed: u64,
    /// Examples attacked at once; changes no result.
    pub in_flight: usize,
    /// Most texts the victim is asked at once; changes no result.
    pub batch: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            worklist: Worklist::default(),
            seed: 765,
            in_flight: 256,
            batch: 2048,
        }
    }
}

/// What happened, in the order in which it happened.
#[derive(Debug)]
pub enum Event {
    /// The attack of one example has ended.
    Attacked {
        /// The example's place in the set.
        index: usize,
        /// What was found, or why there is nothing; other examples go on.
        result: Result<Box<AttackResult>, AttackError>,
    },
    /// The victim has answered.
    Answered {
        /// Texts it was asked, the same ones of several examples counted each time.
        texts: usize,
    },
}

/// Stack of an example's thread: a search is not deep.
const STACK_BYTES: usize = 1 << 20;

/// Attacks a data set with many examples in flight, and returns the places of the examples that belong to the result, in the
/// order of the work list.
///
/// Each example runs on a thread of its own; `victim` is asked on the calling thread, in batches gathered from all of them.
/// `known` are outcomes from before an interruption, by place; those examples are not attacked again. `on_event` is called
/// on the calling thread; returning `false` ends the run after the present batch: examples in flight have no event.
///
/// Where the work list ends by a count of successes, examples beyond the last needed one may be attacked; they have events
/// but do not stand in the returned list.
pub fn run(
    attack: &Attack,
    victim: &dyn Victim,
    cases: &[Case],
    config: &RunConfig,
    known: &BTreeMap<usize, Outcome>,
    on_event: &mut dyn FnMut(Event) -> Result<bool, BoxError>,
) -> Result<Vec<usize>, BoxError> {
    let mut progress = Progress::new(config, cases.len(), known);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(progress.is_enough);
    let order = progress.order.clone();
    std::thread::scope(|scope| -> Result<(), BoxError> {
        let (sender, receiver) = channel();
        let threads = config.in_flight.clamp(1, order.len().max(1));
        for _ in 0..threads {
            let asker = Asker::new(sender.clone());
            let (next, stop, order) = (&next, &stop, &order);
            let work = move || {
                let take = || {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    (!stop.load(Ordering::Relaxed)).then(|| order.get(position).copied())?
                };
                while let Some(index) = take() {
                    if known.contains_key(&index) {
                        continue;
                    }
                    let case = &cases[index];
                    let mut rng = example_rng(config.seed, case.id);
                    let attacked = catch_unwind(AssertUnwindSafe(|| {
                        attack.run(&asker, &case.text, case.gold, &mut rng)
                    }));
                    let result = attacked.unwrap_or_else(|panic| {
                        Err(AttackError::Panicked {
                            message: panic_message(&*panic),
                        })
                    });
                    let message = Message::Attacked(index, result.map(Box::new));
                    if asker.sender.send(message).is_err() {
                        return;
                    }
                }
            };
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            let spawned = builder.spawn_scoped(scope, work);
            if let Err(source) = spawned {
                stop.store(true, Ordering::Relaxed);
                return Err(AttackError::Threads { threads, source }.into());
            }
        }
        drop(sender);
        let answered = serve(&receiver, victim, config.batch, &mut |event| {
            if let Event::Attacked { index, result } = &event {
                progress.ended(*index, result.as_ref().ok().map(|result| result.outcome));
            }
            Ok(on_event(event)? && !progress.is_enough)
        });
        // Whoever still waits for an answer gets none, and ends.
        stop.store(true, Ordering::Relaxed);
        drop(receiver);
        answered
    })?;
    Ok(progress.included())
}

/// Which outcomes are known, and whether they are enough.
struct Progress<'a> {
    worklist: &'a Worklist,
    order: Vec<usize>,
    outcomes: BTreeMap<usize, Option<Outcome>>,
    /// How many of the order's first examples have ended.
    prefix: usize,
    counts: Counts,
    is_enough: bool,
}

impl<'a> Progress<'a> {
    fn new(config: &'a RunConfig, count: usize, known: &BTreeMap<usize, Outcome>) -> Self {
        let mut progress = Self {
            worklist: &config.worklist,
            order: config.worklist.order(count, config.seed),
            outcomes: known
                .iter()
                .map(|(&index, &outcome)| (index, Some(outcome)))
                .collect(),
            prefix: 0,
            counts: Counts::default(),
            is_enough: false,
        };
        progress.order.truncate(config.worklist.at_most(count));
        progress.advance();
        progress
    }

    fn ended(&mut self, index: usize, outcome: Option<Outcome>) {
        self.outcomes.insert(index, outcome);
        self.advance();
    }

    /// Only an unbroken row of first examples decides, so the end does not depend on which were faster.
    fn advance(&mut self) {
        self.is_enough |= self.worklist.is_enough(&self.counts);
        while !self.is_enough
            && let Some(index) = self.order.get(self.prefix)
            && let Some(&outcome) = self.outcomes.get(index)
        {
            self.prefix += 1;
            self.counts.add(outcome);
            self.is_enough = self.worklist.is_enough(&self.counts);
        }
    }

    fn included(&self) -> Vec<usize> {
        let ended = |index: &&usize| self.outcomes.get(*index).is_some_and(Option::is_some);
        let all = if self.is_enough {
            self.prefix
        } else {
            self.order.len()
        };
        self.order[..all].iter().filter(ended).copied().collect()
    }
}

enum Message {
    Question(Request<Text, Distribution>),
    Attacked(usize, Result<Box<AttackResult>, AttackError>),
}

/// The victim as seen from an example's thread: a place in the queue.
struct Asker {
    sender: Sender<Message>,
}

impl Asker {
    fn new(sender: Sender<Message>) -> Self {
        Self { sender }
    }
}

impl Victim for Asker {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        let (reply, answers) = channel();
        let request = Request {
            questions: texts.to_vec(),
            reply,
        };
        let message = Message::Question(request);
        self.sender
            .send(message)
            .map_err(|_| AttackError::PoolClosed)?;
        answers.recv().map_err(|_| AttackError::PoolClosed)?
    }
}

/// Answers questions in batches and passes results on, until all examples' threads are gone or `on_event` says `false`.
fn serve(
    receiver: &Receiver<Message>,
    victim: &dyn Victim,
    batch: usize,
    on_event: &mut dyn FnMut(Event) -> Result<bool, BoxError>,
) -> Result<(), BoxError> {
    let answer = |texts: &[Text]| {
        let answers = victim.query(texts)?;
        match answers.iter().position(|answer| !answer.is_valid()) {
            Some(bad) => {
                let row = answers[bad].probabilities();
                Err(format!("answer {bad} is {row:?}, not a distribution").into())
            }
            None => Ok(answers),
        }
    };
    let mut go_on = true;
    while go_on && let Ok(first) = receiver.recv() {
        let mut message = Some(first);
        let mut requests = Vec::new();
        let mut texts = 0;
        while let Some(current) = message {
            match current {
                Message::Question(request) => {
                    texts += request.questions.len();
                    requests.push(request);
                }
                Message::Attacked(index, result) => {
                    go_on &= on_event(Event::Attacked { index, result })?;
                }
            }
            message = (go_on && texts < batch)
                .then(|| receiver.try_recv().ok())
                .flatten();
        }
        if go_on && !requests.is_empty() {
            answer_all(requests, &answer);
            go_on = on_event(Event::Answered { texts })?;
        }
    }
    // What has ended meanwhile is not lost; what has failed may have failed for want of an answer.
    for message in receiver.try_iter() {
        if let Message::Attacked(index, result @ Ok(_)) = message {
            on_event(Event::Attacked { index, result })?;
        }
    }
    Ok(())
}
