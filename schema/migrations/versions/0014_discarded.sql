-- A dead letter may be given up: it counts as discarded from then on, and is kept as long as the others.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_state_check;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_state_check
    CHECK (state IN ('dead', 'replayed', 'duplicate', 'discarded'));
