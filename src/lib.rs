//! `scanlab` proves what a firewall ruleset does: it loads the rules into a real kernel and measures them.
//!
//! Input is the *intent* for a sensor: which ports are served, watched or refused, which scans are logged, and which MAC
//! address the sensor shows. scanlab generates the iptables ruleset for it (or reads yours), loads it in a throw-away network
//! namespace with a TAP (or TUN) interface, sends nmap-equivalent probes from the other end of that interface, reads the
//! replies, the kernel's log lines and the path of every packet through the rules, and reports each mismatch between
//! expected and observed, with the reason.
//!
//! # The one idea
//!
//! **The kernel has answered before `write()` returns.** A frame that is written to a TAP passes the whole receive path
//! (netfilter, TCP, the reply, printk, the rule trace) in the context of the writer. So a probe is a function call, and *no
//! reply* is a fact and not a timeout. No manual promises this, so three guards check it. Every batch ends with a *fence*,
//! a frame that no iptables rule can hold back (an ARP probe; on a TUN, a packet that the lab's own table logs before every
//! table of iptables), and the lab waits for the fence. Replies, lines and paths are matched to a probe by what the probe
//! carries, never by order. *Canaries* before and after a batch prove that log and trace are being read. Trace, log and
//! reply are three *witnesses* of every probe, and must agree. A blind, lossy or contradicted instrument is an error of its
//! own ([`error::CannotMeasure`], exit status 3), never a verdict. [`commands::selftest`] plants faults in each of these,
//! and fails if one of them is not noticed.
//!
//! # From scenario to exit status
//!
//! ```text
//! scenario ─► sensor ─► generate ──────► lab: namespace, TAP, rules, listeners, log
//!       │        └────► expect ──┐
//!       └─► plan ─► probes ──► lab.send ─► observations ─► compare ─► checks ─► explain ─► report ─► exit status
//! ```
//!
//! | step | module |
//! | --- | --- |
//! | the scenario and the sensor are read | [`intent::scenario`], [`sensor`] |
//! | the ruleset of the sensor is generated | [`rules::generate`] |
//! | *plan*: the cells of the scenario, and which of them share a lab | [`intent::plan`] |
//! | *expect*: the expectation of each cell, by the *oracle* | [`intent::expect`] |
//! | probes are sent, replies, lines and paths assigned to them | [`lab`] |
//! | a reply, or silence, becomes a port state | [`probe::scan`] |
//! | *compare*: a check for each cell | [`verdict::compare`] |
//! | *explain*: the rules that a mismatch is due to | [`verdict::explain`] |
//! | these steps are taken, in this order | [`commands::run`] |
//! | report and exit status | [`report`], [`cli`] |
//!
//! A patch that [`verdict::explain`] proposes passes through the same steps before it is shown, and so does every mutant of
//! [`commands::mutate`]. What a rule *does* is measured, always. A rule is *read* ([`rules::iptables_save`]) to say why it
//! did not match, to choose what to send, and to mutate it.
//!
//! Expectations come from the sensor alone and never from the ruleset; otherwise both would share one bug.
//!
//! [`verdict::findings`] need no expectations: [`rules::sweep`] plans every packet that a ruleset distinguishes, the lab
//! sends them all, and a rule that none of them matches is dead if [`rules::space`] proves it for all other packets, too.
//! Otherwise it is not provable.
//!
//! # Rooms
//!
//! A room is a top-level module, and a floor is a layer. A room imports from the rooms below it in this table only;
//! `tests/user/architecture.rs` checks it.
//!
//! | floor | room | |
//! | --- | --- | --- |
//! | 11 | [`cli`] | arguments (nmap's options, too), files, terminal and exit status; the only reader of the environment |
//! | 10 | [`report`] | facts, formatted for people and programs, one file for each format |
//! | 9 | [`commands`] | the measurements of each subcommand, those of `check` in [`commands::predeploy`] |
//! | 8 | [`verdict`] | conclusions from observations: comparison, explanation, findings |
//! | 7 | [`lab`] | processes, sockets and namespaces: the only room that runs anything |
//! | 6 | [`rules`] | rulesets as text: reader, generator, lints, mutants, and sets of packets |
//! | 6 | [`intent`] | scenarios, the plan of their checks, and the oracle, which never sees the ruleset |
//! | 5 | [`sensor`] | the host under test as its file describes it, for oracle and generator alike |
//! | 4 | [`probe`] | scan techniques, packets to send, and the port state that each reply means |
//! | 3 | [`wire`] | packets as bytes: headers written, and replies read |
//! | 2 | [`log_line`] | the kernel's LOG line, read and printed |
//! | 2 | [`error`] | errors, with the place and a hint |
//! | 1 | [`net`] | addresses, ports, services, rates, conntrack states, sysctls |
//! | 1 | [`text`] | escaping and splitting of text |
//! | 1 | `sys` | all `unsafe` code |
//!
//! # Words
//!
//! Words of nmap (port state, reason, technique, host discovery) and of netfilter (table, chain, rule, target, policy, LOG
//! prefix, conntrack state) mean what their manuals say. These are scanlab's own:
//!
//! - *batch*: probes that are sent together, between two canaries, and end with a fence.
//! - *canary*: a packet that the lab's own table logs; it proves that log and trace are being read.
//! - *capture*: the way log lines are read, from the kernel's log or through NFLOG.
//! - *cell*: one technique, port and family of a scenario; *check*: a cell with its result, or a check of MAC, rate or
//!   packet.
//! - *coverage*: the rules of a ruleset that a run exercised.
//! - *fault*: a defect that the self-test plants in an instrument of the lab.
//! - *fence*: the last frame of a batch, which the host always answers; after its answer no other can come.
//! - *finding*: a rule that no packet can reach, or a difference between the families; measured, and proved where possible.
//! - *flavour*: the backend of iptables, nft (nf_tables) or legacy (x_tables).
//! - *known*: a mismatch that a `[[known]]` row of the scenario expects.
//! - *lab*: a namespace with one host, its rules, and a link to the prober.
//! - *lead*: the packets before a stimulus, which give it its conntrack state.
//! - *lint*: advice on the text of a ruleset; nothing is measured.
//! - *mutant*: a ruleset with one deliberate mistake.
//! - *oracle*: [`intent::expect`], which derives expectations from a sensor.
//! - *packet row*: a row of a scenario about a packet that is no scan.
//! - *path*: the rules and policies that a packet met, from the rule trace.
//! - *phase*: one technique over all its ports in one family, in a scan ([`ScanPass`](probe::scan_pass::ScanPass)).
//! - *prober*: the other end of the link, which scans; *host*: the machine with the rules.
//! - *sensor*: the host as its file describes it: what it serves, watches, refuses and logs.
//! - *stimulus*: a packet of a *sweep*, the packets that a ruleset distinguishes.
//! - *witness*: a source of facts on a packet (reply, log, trace), or a packet that confirms a claim.
//!
//! # Checks do not disturb each other
//!
//! A `limit` match remembers packets, conntrack remembers flows. Flows never meet, since every probe has a port pair of its
//! own. Limits are watched: as soon as one may be used up, the rules with a limit are renewed in place before the next probe
//! is sent (the lab's `fresh_limits`). Only the check of a *rate* uses up a limit, on purpose.
//!
//! # Packets that are no scan
//!
//! A scenario can ask about any packet that [`rules::sweep`] sends: odd flags, another protocol, a segment of a connection,
//! a packet that the host itself sends. Such a *packet row* is written as [`probe::packet::Packet`] reads it. All packet
//! rows share a lab in which limits never run out, since they ask whether a rule matches a packet, not how often. They rest
//! on two witnesses that must agree, the rule trace and the kernel's log; the host's reply is not read.
//!
//! # Two backends of everything
//!
//! Rules are loaded into nf_tables or x_tables, the link is a TAP or a TUN, the log is the kernel's own or NFLOG, the user is
//! root or not: the lab's [`LabOptions`](lab::LabOptions). nf_tables sends its rule trace over netlink; x_tables sends its own
//! through NFLOG, and the lab's own table marks beginnings and ends on the same socket. With NFLOG capture the ruleset is
//! loaded as given, and then a copy with NFLOG in place of LOG, whose lines [`log_line`] renders as the kernel would. The lab
//! of an ordinary user is in a user namespace. Each choice changes how something is observed, and never what is reported.
//!
//! # Frames
//!
//! With [`WatchedEvents::Frames`](lab::WatchedEvents::Frames) every frame is recorded where it is sent or read, and assigned to its probe at
//! that place: nothing is guessed from its bytes afterwards. Captures, pages and lessons show the same frames;
//! [`wire::dissect`] names each byte as its RFC does. A page is a report or a lesson with its style, script and data in one
//! file; every text in it passes one escaper.
//!
//! # Real tools
//!
//! In `exec` a real tool takes the place of the prober: a relay between two TAPs records every frame, and ties lines and
//! paths to it. The tool runs under the first process of a PID namespace, so that it cannot outlive scanlab.
//!
//! # The machine is left as it is
//!
//! The namespace has no name; it lives by its file descriptors, so that `kill -9` leaves nothing. Code that changes rules,
//! links or sysctls needs the proof (`Isolated`) that its thread is not in the machine's own namespace. The one exception, and
//! only where the kernel's own log is read, is the sysctl `nf_log_all_netns` (`lab::log::nf_log_netns`), without which LOG rules
//! print in the first namespace only: its users are counted by a lock that only root may open, the last run to end restores
//! it, and after a `kill -9` the next run or `scanlab doctor` does. Locks are files in a folder that the last run removes.
//!
//! Labs share the kernel's log with the whole machine: they take turns, and a line belongs to a probe only if it carries the
//! addresses, ports and number of that probe.

pub mod cli;

pub mod report;

pub mod commands;

pub mod verdict;

pub mod lab;

pub mod rules;

pub mod intent;

pub mod sensor;

pub mod probe;

pub mod wire;

pub mod log_line;

pub mod error;

pub mod net;

pub mod text;

mod sys;
