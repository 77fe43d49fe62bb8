import { CollectiveBuilder } from './collective';

/** Appends StableHLO ops to a function body, checking shapes and types as it goes. */
export class Builder extends CollectiveBuilder {}
