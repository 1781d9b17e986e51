/** Tripstream's tracker, as `window.tripstream`. docs/adding.md explains it. */

/** The fields of an event; what is not among them is kept in its metadata. */
export interface Fields {
  trip_id?: number | null;
  /** The `requestId` of the recommendations that showed the trip. */
  recommendation_request_id?: string | null;
  position?: number | null;
  score?: number | null;
  source?: Source | null;
  page_type?: string | null;
  click_target?: string | null;
  click_category?: string | null;
  /** Whose page it is. */
  owner_code?: string | null;
  share_code?: string | null;
  contact_id?: string | null;
  page_url?: string | null;
  referrer?: string | null;
  /** Your own id of who is here: a claim, which nobody is merged by. */
  user_id?: string | null;
  /** A UUID; without one it gets its own. */
  event_id?: string;
  metadata?: Record<string, unknown> | null;
  [unknown: string]: unknown;
}

export type Source =
  | "search_results"
  | "relaxed_results"
  | "homepage"
  | "trip_detail"
  | "saved_trips"
  | "email"
  | "campaign"
  | "other"
  | (string & {});

export type EventType =
  | "page_view"
  | "search_submit"
  | "results_view"
  | "impression"
  | "click_trip"
  | "save_trip"
  | "unsave_trip"
  | "contact_whatsapp"
  | "contact_phone"
  | "booking_start"
  | "booking_complete"
  | "scroll_depth"
  | "trip_dwell"
  | "filter_change"
  | "filter_remove"
  | "sort_change"
  | "click"
  | (string & {});

export interface Options {
  site?: string;
  /** The site's write key. */
  key?: string;
  /** Where /api/events/batch is; by default beside the script. */
  endpoint?: string;
  /** Events after which a batch is sent; 10. */
  batch?: number | string;
  /** Seconds after which it is sent in any case; 5. */
  seconds?: number | string;
  /** No page views but those of `page()`. */
  manual?: boolean | string;
  /** false: nothing is sent or kept before `consent(true)`. */
  consent?: boolean | string;
  /** What every event of this page has. */
  fields?: Fields;
}

/** What is asked of POST /api/v2/recommendations, in camelCase or snake_case. */
export interface Preferences {
  selectedCountries?: string[] | null;
  selectedContinents?: string[] | null;
  preferredTypeId?: number | null;
  preferredThemeIds?: number[] | null;
  minDuration?: number | null;
  maxDuration?: number | null;
  budget?: number | string | null;
  difficulty?: number | null;
  year?: number | string | null;
  month?: number | string | null;
  [name: string]: unknown;
}

/** What it answered. */
export interface Answer {
  requestId: string;
  results: { matchScore?: number; [name: string]: unknown }[];
  primaryCount?: number;
  relaxedCount?: number;
  totalCandidates?: number;
  responseTimeMs?: number;
  [name: string]: unknown;
}

export interface Tripstream {
  init(options: Options): void;
  track(type: EventType, fields?: Fields): void;
  /** A page view; `name` is what kind of page it is. */
  page(name?: string, fields?: Fields): void;
  /** True once the server took the user's token, false when it refused it. */
  identify(token: string): Promise<boolean | undefined> | undefined;
  /** Send what waits. Settles when all of it was answered, or cannot be sent now. */
  flush(): Promise<void> | undefined;
  /** false: nothing is sent or kept any more, ids included. */
  consent(given: boolean): void;
  search(preferences: Preferences): void;
  results(answer: Answer): void;
  /** Impressions and clicks of the elements inside that have data-trip-id. */
  list(root: Element, fields?: Fields): void;
  /** How long a trip is looked at, until the next page. */
  dwell(tripId: number, fields?: Fields): void;
  /** A filter changed; null, "", 0, false, "all" or [] removes it. */
  filter(name: string, value?: unknown): void;
  sort(value: string): void;
  /** The ids that requests for recommendations take; undefined without consent. */
  visitor(): string | undefined;
  session(): string | undefined;
  push(call: Call): void;
}

type Method = Exclude<keyof Tripstream, "push">;

/** A call as it is queued before the script has come: `["track", "click"]`. */
export type Call = { [name in Method]: [name, ...Parameters<Tripstream[name]>] }[Method];

declare global {
  interface Window {
    tripstream: { push(call: Call): unknown } & Partial<Tripstream>;
  }
}
