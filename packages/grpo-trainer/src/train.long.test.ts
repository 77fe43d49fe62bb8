/** The same suite with every seed of its series. */
import './train.test';
