/**
 * What Prometheus reads at `/metrics`. One registry for each gateway, so that two in one process do not mix.
 */
import type { SessionService } from '@holdfast/session';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface MetricsSources {
  readers(): number;
  bytesSent(): number;
  stats(): ReturnType<SessionService['stats']>;
  readonly terminals: { readonly size: number; readonly memoryBytes: number };
}

export class Metrics {
  readonly registry: Registry = new Registry();
  readonly #requests: Counter<'method' | 'route' | 'status'>;
  readonly #seconds: Histogram<'method' | 'route'>;
  readonly #faults: Counter<'fault'>;

  constructor(sources: MetricsSources) {
    const registers = [this.registry];
    this.#requests = new Counter({
      name: 'holdfast_requests_total',
      help: 'Requests answered',
      labelNames: ['method', 'route', 'status'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'holdfast_request_seconds',
      help: 'Time to the answer, or to the head of a stream',
      labelNames: ['method', 'route'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    });
    this.#faults = new Counter({
      name: 'holdfast_faults_total',
      help: 'Requests refused or failed, by fault',
      labelNames: ['fault'],
      registers,
    });
    gauge(this.registry, 'holdfast_readers', 'Open streams', () => sources.readers());
    gauge(this.registry, 'holdfast_stream_bytes', 'Bytes handed to streams since the start', () => sources.bytesSent());
    gauge(this.registry, 'holdfast_turns_running', 'Turns that run in this process', () => sources.stats().running);
    gauge(this.registry, 'holdfast_turns_waiting', 'Turns that wait for a slot', () => sources.stats().waitingForSlot);
    gauge(
      this.registry,
      'holdfast_btws_running',
      'Side questions that are answered in this process',
      () => sources.stats().btws,
    );
    gauge(this.registry, 'holdfast_terminals', 'Terminals, with those that have exited', () => sources.terminals.size);
    gauge(
      this.registry,
      'holdfast_terminal_bytes',
      'Output held for their readers',
      () => sources.terminals.memoryBytes,
    );
    gauge(this.registry, 'holdfast_sessions_live', 'Sessions held in memory', () => sources.stats().live);
    gauge(this.registry, 'holdfast_memory_bytes', 'Resident memory', () => process.memoryUsage.rss());
    gauge(
      this.registry,
      'holdfast_cpu_seconds',
      'CPU time used',
      () => (process.cpuUsage().user + process.cpuUsage().system) / 1e6,
    );
  }

  answered(method: string, route: string, status: number, seconds: number): void {
    this.#requests.inc({ method, route, status: String(status) });
    this.#seconds.observe({ method, route }, seconds);
  }

  failed(fault: string): void {
    this.#faults.inc({ fault });
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  registry.registerMetric(
    new Gauge({
      name,
      help,
      collect() {
        this.set(read());
      },
      registers: [],
    }),
  );
}
