/// What one `sluice bench` measured: the JSON file, and all that the report and the comparison know.
///
/// Times are microseconds, rates a second.
package struct Measurement: Codable, Sendable, Equatable {
    /// Of this format; a reader refuses another.
    package var format = 1
    /// When it began, ISO 8601 in UTC.
    package var started: String
    /// As typed, without what could be a secret.
    package var command: [String]
    package var machine: Machine
    package var versions: [String: String]
    /// What was asked for, as names and texts: rate, in flight, mix, collections, k, ef_search, seconds, …
    package var settings: [String: String]
    /// One for each repeat; with a sweep, for each rate and repeat.
    package var runs: [Run]
    /// With a sweep: the highest rate that was kept up with.
    package var knee: Knee?
    /// With --recall: one for each ef_search.
    package var recall: [RecallPoint] = []

    package init(
        started: String, command: [String], machine: Machine, versions: [String: String], settings: [String: String],
        runs: [Run] = [], knee: Knee? = nil, recall: [RecallPoint] = []
    ) {
        self.started = started
        self.command = command
        self.machine = machine
        self.versions = versions
        self.settings = settings
        self.runs = runs
        self.knee = knee
        self.recall = recall
    }

    package struct Machine: Codable, Sendable, Equatable {
        package var processor: String
        package var cores: Int
        package var memoryBytes: Int
        package var system: String
        /// Of the last minute, when the measurement began: what else the machine did.
        package var loadAverage: Double

        package init(processor: String, cores: Int, memoryBytes: Int, system: String, loadAverage: Double) {
            self.processor = processor
            self.cores = cores
            self.memoryBytes = memoryBytes
            self.system = system
            self.loadAverage = loadAverage
        }
    }

    /// One run of the load.
    package struct Run: Codable, Sendable, Equatable {
        /// "gateway" or "direct".
        package var target: String
        /// Requests a second that were asked for; nil in a closed loop.
        package var rate: Double?
        package var inFlight: Int
        package var seconds: Double
        /// Requests answered a second; at a rate, those that were answered in the time, or at most 100 ms after it.
        package var throughput: Double
        package var answered: Int
        /// By the error's code.
        package var errors: [String: Int]
        /// Answers that came after their own deadline.
        package var late: Int
        /// Answers that lacked a shard.
        package var partial: Int
        /// From the intended start to the answer.
        package var latency: Latency
        /// How long it took to be told "busy".
        package var busy: Latency?
        /// The same latencies by kind of request: search, filtered, multi, batch, get, load.
        package var kinds: [String: Latency]
        /// By shard, as the legs reported it: where the time of a search goes.
        package var legs: [Leg]
        /// One for each second: throughput and percentiles over time.
        package var timeline: [Tick]
        /// What was done to replicas meanwhile.
        package var faults: [Fault]
        /// Of a search with an ef_search of its own: which.
        package var efSearch: Int?
        /// Requests that were due, answered or not, by the time that they were due in.
        package var askedPerSecond: Double?
        /// Of an open loop: how much later than intended requests began, which is the generator's fault. Latencies
        /// have it in them.
        package var behind: Latency?
        /// It was ended before its time: its numbers are of what was measured until then.
        package var isInterrupted: Bool?
        /// Requests that were in flight then and have not been waited for; none of the errors.
        package var givenUp: Int?

        /// Requests that were due, whatever became of them.
        package var asked: Int { answered + errors.values.reduce(0, +) + (givenUp ?? 0) }

        package init(
            target: String, rate: Double?, inFlight: Int, seconds: Double, throughput: Double, answered: Int,
            errors: [String: Int], late: Int, partial: Int, latency: Latency, busy: Latency?, kinds: [String: Latency],
            legs: [Leg], timeline: [Tick], faults: [Fault]
        ) {
            self.target = target
            self.rate = rate
            self.inFlight = inFlight
            self.seconds = seconds
            self.throughput = throughput
            self.answered = answered
            self.errors = errors
            self.late = late
            self.partial = partial
            self.latency = latency
            self.busy = busy
            self.kinds = kinds
            self.legs = legs
            self.timeline = timeline
            self.faults = faults
        }
    }

    /// Percentiles of a histogram, in microseconds.
    package struct Latency: Codable, Sendable, Equatable {
        package var count: Int
        package var mean: Double
        package var p50: Int
        package var p90: Int
        package var p99: Int
        package var p999: Int
        package var p9999: Int
        package var max: Int
        /// Percentile and value, from 0 to 100, closer together near 100: what a percentile plot draws.
        package var curve: [Point]

        package init(
            count: Int, mean: Double, p50: Int, p90: Int, p99: Int, p999: Int, p9999: Int, max: Int, curve: [Point]
        ) {
            self.count = count
            self.mean = mean
            self.p50 = p50
            self.p90 = p90
            self.p99 = p99
            self.p999 = p999
            self.p9999 = p9999
            self.max = max
            self.curve = curve
        }

        package struct Point: Codable, Sendable, Equatable {
            package var percentile: Double
            package var microseconds: Int

            package init(percentile: Double, microseconds: Int) {
                self.percentile = percentile
                self.microseconds = microseconds
            }
        }
    }

    /// What the legs of one shard took, in means of microseconds over the run.
    package struct Leg: Codable, Sendable, Equatable {
        package var shard: String
        package var count: Int
        package var attempts: Int
        package var hedges: Int
        /// For a connection of the pool.
        package var waiting: Double
        /// From the statement's sending to its last row.
        package var executing: Double

        package init(shard: String, count: Int, attempts: Int, hedges: Int, waiting: Double, executing: Double) {
            self.shard = shard
            self.count = count
            self.attempts = attempts
            self.hedges = hedges
            self.waiting = waiting
            self.executing = executing
        }
    }

    package struct Tick: Codable, Sendable, Equatable {
        /// Seconds since the run began.
        package var second: Int
        package var answered: Int
        package var failed: Int
        package var p50: Int
        package var p99: Int

        package init(second: Int, answered: Int, failed: Int, p50: Int, p99: Int) {
            self.second = second
            self.answered = answered
            self.failed = failed
            self.p50 = p50
            self.p99 = p99
        }
    }

    package struct Fault: Codable, Sendable, Equatable {
        /// "kill", "stop" or "slow".
        package var kind: String
        package var replica: String
        /// Seconds since the run began.
        package var from: Double
        package var until: Double

        package init(kind: String, replica: String, from: Double, until: Double) {
            self.kind = kind
            self.replica = replica
            self.from = from
            self.until = until
        }
    }

    package struct Knee: Codable, Sendable, Equatable {
        /// Requests a second.
        package var rate: Double
        /// Why the next rate was too much.
        package var reason: String

        package init(rate: Double, reason: String) {
            self.rate = rate
            self.reason = reason
        }
    }

    package struct RecallPoint: Codable, Sendable, Equatable {
        package var efSearch: Int
        /// The share of the exact k nearest that was found, from 0 to 1: mean and least over the queries.
        package var recall: Double
        package var leastRecall: Double
        package var throughput: Double
        package var p50: Int
        package var p99: Int

        package init(
            efSearch: Int, recall: Double, leastRecall: Double, throughput: Double, p50: Int, p99: Int
        ) {
            self.efSearch = efSearch
            self.recall = recall
            self.leastRecall = leastRecall
            self.throughput = throughput
            self.p50 = p50
            self.p99 = p99
        }
    }
}
