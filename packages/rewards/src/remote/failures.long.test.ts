/** The same with more images. */
import './failures.parity.test';
