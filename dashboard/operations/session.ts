import { graphql } from "../api/graphql.ts";

/** The smallest thing a viewer may ask: whether a token is good here. */
export const whoQuery = graphql(`query Who { tenant { slug } }`);
